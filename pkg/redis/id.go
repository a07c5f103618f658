package redis

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/redis/go-redis/v9"
)

const idKey = "sigctl:id" // a string: a random word

// ID returns a word that stands for the database: the same for all who use it, under
// whatever address. It is kept in it, and made by the first who asks.
func (c *Client) ID(ctx context.Context) (string, error) {
	id, err := c.rdb.Get(ctx, idKey).Result()
	if errors.Is(err, redis.Nil) {
		if err = c.rdb.SetNX(ctx, idKey, rand.Text(), 0).Err(); err == nil { // or else another was faster
			id, err = c.rdb.Get(ctx, idKey).Result()
		}
	}
	return id, c.explain(err)
}
