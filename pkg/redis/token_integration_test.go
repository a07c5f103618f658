//go:build integration

package redis

import "testing"

// TestRealRedisTokens is TestMiniredisTokens against a redis-server that it
// starts.
func TestRealRedisTokens(t *testing.T) {
	addr := startRedis(t)
	testTokens(t, func(t *testing.T) testServer {
		s := newTestServer(t, addr)
		s.do(t, "FLUSHALL")
		return s
	})
}
