//go:build integration

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// redisServer is a running redis-server.
type redisServer struct {
	*process
	addr string
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	for range 5 { // somebody else may take the port first
		if r := tryRedis(t, freePort(t)); r != nil {
			return r
		}
	}
	t.Fatal("redis-server found no free port")
	return nil
}

// tryRedis returns nil if the port is taken.
func tryRedis(t *testing.T, port string) *redisServer {
	t.Helper()
	p := start(t, "redis-server", []string{needProgram(t, "redis-server", "redis-server"),
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()})
	if !p.awaitEither("Ready to accept connections", "Address already in use") {
		return nil
	}
	return &redisServer{p, net.JoinHostPort("127.0.0.1", port)}
}

// awaitEither reports whether good was printed before bad.
func (p *process) awaitEither(good, bad string) bool {
	p.t.Helper()
	match, _ := p.await(p.out, good+"|"+bad)
	return match[0] == good
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (r *redisServer) url() string { return "redis://" + r.addr }

// command sends one command as a person would type it, and returns the first
// line of the answer.
func (r *redisServer) command(text string) string {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s\r\n", text)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return strings.TrimSpace(line)
}

func (r *redisServer) want(command, answer string) {
	r.t.Helper()
	if got := r.command(command); got != answer {
		r.t.Errorf("redis: %s answers %s, want %s", command, got, answer)
	}
}

func TestRedisUsers(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s := startServe(t, "--redis", r.url())
	s.add("alice", "--redis", r.url())
	s.add("bob", "--redis", r.url())
	alice := s.chat("alice")
	bob := s.chat("bob", "--call", "alice")
	bob.says("hello")
	alice.wantLine("bob: hello")
	r.want("EXISTS sigctl:user:alice", ":1")
}

// Who is deleted from the Redis of a running server, under whatever address, loses the
// session, too.
func TestRedisUserDeleted(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s := startServe(t, "--redis", r.url())
	s.add("alice", "--redis", r.url())
	alice, _ := s.local(t).signIn(message{"name": "alice", "password": s.passwords["alice"]})
	_, port, _ := net.SplitHostPort(r.addr)
	s.sigctl("user", "del", "alice", "--redis", "redis://localhost:"+port+"/0").wantExit(0)
	alice.wantClose(4501)
	r.want("EXISTS sigctl:user:alice", ":0")
}

// A Redis that somebody filled by hand.
func TestRedisPlaintext(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	r.want("SET user1 password1", "+OK")
	r.want("SET user2 password2", "+OK")

	without := startServe(t, "--redis", r.url())
	without.startChat("user1", nil).wantExit(3)
	r.want("EXISTS user1", ":1")

	s := startServe(t, "--redis", r.url(), "--redis-plaintext")
	user1 := s.chat("user1")
	user2 := s.chat("user2", "--call", "user1")
	user2.says("hello")
	user1.wantLine("user2: hello")
	r.want("EXISTS user1", ":0")
	r.want("EXISTS sigctl:user:user1", ":1")
	user2.saysNoMore()
	user2.wantExit(0)
	s.chat("user2") // with the hash now
	s.passwords["user2"] = "wrong"
	s.startChat("user2", nil).wantExit(3)
}

// Redis goes away while the server runs: nobody can sign in, and the server says
// why; who is signed in stays, and can be called when Redis is back.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	r.want("SET alice password", "+OK")
	s := startServe(t, "--redis", r.url(), "--redis-plaintext")
	s.passwords = map[string]string{"alice": "password", "bob": "password"}
	alice := s.chat("alice")
	r.cmd.Process.Kill()
	r.wait()
	early := s.startChat("bob", nil)
	early.wantExit(3)
	early.wantStatus("^hint: .*log") // nothing is wrong with the password
	s.wantStatus("doing=login .*connection refused")

	_, port, _ := net.SplitHostPort(r.addr)
	r = tryRedis(t, port)
	if r == nil {
		t.Fatal("somebody else took the port")
	}
	r.want("SET bob password", "+OK")
	bob := s.chat("bob", "--call", "alice")
	bob.says("hello")
	alice.wantLine("bob: hello")
}
