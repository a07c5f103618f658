package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/admin"
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
	f.StringVar(&o.redis, "redis", "", "`URL` of a Redis that holds users, token keys and spent tokens (default: files in --data)")
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
	id    func(context.Context) (string, error) // the same for all who use it
}

// openRedis opens what is in Redis.
func (o *storeOptions) openRedis(ctx context.Context) (backing, error) {
	client, err := redis.Open(ctx, o.redis, &redis.Options{Plaintext: o.redisPlaintext, Timeout: storeWait})
	if err != nil {
		return backing{}, usage(fmt.Errorf("--redis: %w", err), "is Redis running there? redis-cli -u URL ping answers PONG")
	}
	return backing{client.Users(), client.TokenKeys(), client.Spent(), client.ID}, nil
}

// embeddedID is that of any embedded store, which only one process has open.
func embeddedID(context.Context) (string, error) { return "embedded", nil }

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
	return backing{store, token.FileKeys(data.tokenKeys()), token.NewMemorySpender(), embeddedID}, nil
}

// openForAdmin opens the store of `sigctl user`: that of the server that runs with the
// data directory, whose sessions a change can end, or Redis, or the file.
func (o *storeOptions) openForAdmin(ctx context.Context, dataPath string) (user.Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.redis != "" {
		return o.openRedisForAdmin(ctx, dataPath)
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

// openRedisForAdmin opens the users in Redis through the running server, if it has
// them there too.
func (o *storeOptions) openRedisForAdmin(ctx context.Context, dataPath string) (user.Store, error) {
	if dataPath != "" {
		if err := checkOwner(dataPath); err != nil {
			return nil, err
		}
	}
	b, err := o.openRedis(ctx)
	if err != nil || dataPath == "" {
		return b.users, err
	}
	socket := dataDir(dataPath).admin() // the directory need not be there
	served, err := b.isServed(ctx, socket)
	if err == nil && !served {
		return b.users, nil
	}
	if err = errors.Join(err, b.users.Close()); err != nil {
		return nil, err
	}
	return user.DialAdmin(ctx, socket)
}

// isServed reports whether the server behind an admin socket, if there is one, has its
// users in b.
func (b backing) isServed(ctx context.Context, socket string) (bool, error) {
	c, err := admin.Dial(ctx, socket)
	if errors.Is(err, admin.ErrNotServing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	theirs, err := adminStoreID.Call(ctx, c, struct{}{})
	if err != nil {
		return false, err
	}
	ours, err := b.id(ctx)
	return theirs == ours, err
}
