package redis

import (
	"context"
	"time"

	"github.com/sigctl/sigctl/pkg/token"
)

const spentPrefix = "sigctl:token:spent:" // and a jti: a string that expires

// Spent returns the memory of the room tokens that were used, on any server that
// uses this Redis.
//
// It knows as much as Redis does: a Redis that evicts keys (maxmemory-policy), or
// loses its last seconds in a crash (appendfsync) or failover, lets a token of
// that time open a second session.
func (c *Client) Spent() token.Spender { return spender{c} }

// spender implements token.Spender.
type spender struct{ client *Client }

func (s spender) Spend(ctx context.Context, id string, until time.Time) error {
	// Whole seconds, rounded up; without a time it would stay for ever.
	keep := max(time.Until(until).Truncate(time.Second)+time.Second, time.Second)
	first, err := s.client.rdb.SetNX(ctx, spentPrefix+id, 1, keep).Result()
	if err == nil && !first {
		return token.ErrReplayed
	}
	return s.client.explain(err)
}

func (s spender) Spent(ctx context.Context, id string) (bool, error) {
	n, err := s.client.rdb.Exists(ctx, spentPrefix+id).Result()
	return n > 0, s.client.explain(err)
}

// Since is zero: what was used before this process started is known.
func (s spender) Since() time.Time { return time.Time{} }
