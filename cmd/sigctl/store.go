package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/redis"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/user"
)

// storeWait is how long opening Redis may take.
const storeWait = 5 * time.Second

// storeOptions say where the users are.
type storeOptions struct {
	redis          string
	redisPlaintext bool
}

func (o *storeOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.redis, "redis", "", "`URL` of a Redis that holds the users (default: the embedded store in --data)")
	f.BoolVar(&o.redisPlaintext, "redis-plaintext", false, "accept plain-text passwords in Redis, and hash them at the first login")
	markSecret(f, "redis", secretURL)
}

func (o *storeOptions) check() error {
	if o.redis == "" {
		if o.redisPlaintext {
			return badFlag("redis-plaintext", "needs --redis", "for example --redis redis://localhost:6379")
		}
		return nil
	}
	u, err := url.Parse(o.redis)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix" {
		return badFlag("redis", "not a Redis URL", "for example --redis redis://localhost:6379") // it may hold a password: not shown
	}
	return nil
}

// backing is what signaling keeps: in Redis, or in the data directory and memory.
type backing struct {
	users user.Store // its Close closes all
	keys  token.KeyStore
	spent token.Spender
}

// openRedis opens what is in Redis.
func (o *storeOptions) openRedis(ctx context.Context) (backing, error) {
	client, err := redis.Open(ctx, o.redis, &redis.Options{Plaintext: o.redisPlaintext, Timeout: storeWait})
	if err != nil {
		return backing{}, usage(fmt.Errorf("--redis: %w", err), "is Redis running there? redis-cli -u URL ping answers PONG")
	}
	return backing{client.Users(), client.TokenKeys(), client.Spent()}, nil
}

// openForServe opens what the server owns: in Redis, or the file of users at path
// and the keys in data.
func (o *storeOptions) openForServe(ctx context.Context, data dataDir, path string) (backing, error) {
	if o.redis != "" {
		return o.openRedis(ctx)
	}
	store, err := user.OpenBolt(path)
	switch {
	case errors.Is(err, user.ErrLocked):
		return backing{}, usage(err, "another sigctl serves with this data directory: stop it, or choose another --data DIR")
	case err != nil:
		return backing{}, usage(err)
	}
	return backing{store, token.FileKeys(data.tokenKeys()), token.NewMemorySpender()}, nil
}

// openForAdmin opens the store of `sigctl user`: Redis, or that of the server
// that runs with the data directory, or the file in it.
func (o *storeOptions) openForAdmin(ctx context.Context, dataPath string) (user.Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.redis != "" {
		b, err := o.openRedis(ctx)
		return b.users, err
	}
	data, err := openDataDir(dataPath)
	if err != nil {
		return nil, err
	}
	remote, err := user.DialAdmin(ctx, data.admin())
	if err == nil {
		return remote, nil
	}
	if !errors.Is(err, user.ErrNotServing) {
		return nil, err
	}
	store, err := user.OpenBolt(data.users())
	if errors.Is(err, user.ErrLocked) {
		return nil, hint(err, "wait until the other sigctl has ended, and try again")
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}
