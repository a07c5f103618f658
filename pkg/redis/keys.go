package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/sigctl/sigctl/pkg/token"
)

const (
	tokenKeys = "sigctl:token:keys" // a string: the JSON of token.KeySet

	maxSwaps = 100 // tries of one Update; each that fails is another's that succeeded
)

// swapScript sets KEYS[1] to ARGV[2] if it is ARGV[1], which is "" for no key.
var swapScript = redis.NewScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

// TokenKeys returns the keys that sign tokens, for all servers that use this
// Redis. Who can read the database can sign tokens.
func (c *Client) TokenKeys() token.KeyStore { return keyStore{c} }

// keyStore implements token.KeyStore.
type keyStore struct{ client *Client }

func (s keyStore) Load(ctx context.Context) (token.KeySet, error) {
	_, keys, err := s.load(ctx)
	return keys, err
}

func (s keyStore) load(ctx context.Context) (text string, keys token.KeySet, err error) {
	text, err = s.client.rdb.Get(ctx, tokenKeys).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, s.client.explain(err)
	}
	if keys, err = token.DecodePrivate([]byte(text)); err != nil {
		return "", nil, fmt.Errorf("redis key %s: %w", tokenKeys, err)
	}
	return text, keys, nil
}

func (s keyStore) Update(ctx context.Context, change func(token.KeySet) (token.KeySet, error)) error {
	for range maxSwaps {
		old, keys, err := s.load(ctx)
		if err != nil {
			return err
		}
		if keys, err = change(keys); err != nil {
			return err
		}
		text, err := keys.EncodePrivate()
		if err != nil {
			return err
		}
		done, err := swapScript.Run(ctx, s.client.rdb, []string{tokenKeys}, old, text).Bool()
		if err != nil || done {
			return s.client.explain(err)
		}
	}
	return fmt.Errorf("redis key %s: others change it all the time, try again", tokenKeys)
}
