package redis

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// A user is a Redis hash at userPrefix and the name, of these fields.
const (
	userPrefix   = "sigctl:user:"
	fieldHash    = "hash"    // PHC string
	fieldCreated = "created" // RFC 3339

	scanCount = 1000 // keys looked at per round trip
)

// Scripts, because a user is written only if it is not there, or is.
var (
	addScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'created', ARGV[2])
return 1`)
	setHashScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'hash', ARGV[1])
return 1`)
)

// Users returns the store of the users in Redis. It is a user.PlainStore if and
// only if Options.Plaintext is set. Its Close closes the Client.
func (c *Client) Users() user.Store {
	u := &users{client: c, listMax: user.ListMax}
	if c.plaintext {
		return &plainUsers{u}
	}
	return u
}

// users implements user.Store.
type users struct {
	// set at construction
	client  *Client
	listMax int
}

func (s *users) Close() error { return s.client.Close() }

func (s *users) Add(ctx context.Context, u user.User) error {
	if err := u.Check(); err != nil {
		return err
	}
	done, err := s.run(ctx, addScript, []string{userPrefix + u.Name}, u.Hash, formatTime(u.Created))
	if err == nil && !done {
		return user.Exists(u.Name)
	}
	return err
}

func (s *users) Get(ctx context.Context, name string) (user.User, error) {
	if !protocol.ValidName(name) {
		return user.User{}, user.NotFound(name)
	}
	fields, err := s.client.rdb.HMGet(ctx, userPrefix+name, fieldHash, fieldCreated).Result()
	if err != nil {
		return user.User{}, s.client.explain(err)
	}
	return decodeUser(name, fields)
}

func (s *users) SetHash(ctx context.Context, name, hash string) error {
	if err := user.CheckHash(hash); err != nil {
		return err
	}
	return s.change(ctx, name, setHashScript, []string{userPrefix + name}, hash)
}

func (s *users) Delete(ctx context.Context, name string) error {
	if !protocol.ValidName(name) {
		return user.NotFound(name)
	}
	n, err := s.client.rdb.Del(ctx, userPrefix+name).Result()
	if err != nil {
		return s.client.explain(err)
	}
	if n == 0 {
		return user.NotFound(name)
	}
	return nil
}

// List looks at every key of the database, a thousand at a time.
func (s *users) List(ctx context.Context) ([]user.User, error) {
	byName := map[string]user.User{} // SCAN may give a key twice
	for cursor := uint64(0); ; {
		keys, next, err := s.client.rdb.ScanType(ctx, cursor, userPrefix+"*", scanCount, "hash").Result()
		if err != nil {
			return nil, s.client.explain(err)
		}
		if err := s.getAll(ctx, keys, byName); err != nil {
			return nil, err
		}
		if len(byName) > s.listMax {
			return nil, user.ErrTooMany
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b user.User) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// getAll gets the users at keys in one round trip.
func (s *users) getAll(ctx context.Context, keys []string, byName map[string]user.User) error {
	pipe := s.client.rdb.Pipeline()
	answers := map[string]*redis.SliceCmd{}
	for _, key := range keys {
		if name := strings.TrimPrefix(key, userPrefix); protocol.ValidName(name) {
			answers[name] = pipe.HMGet(ctx, key, fieldHash, fieldCreated)
		}
	}
	if len(answers) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return s.client.explain(err)
	}
	for name, answer := range answers {
		if answer.Val()[0] == nil {
			continue // deleted since the scan
		}
		u, err := decodeUser(name, answer.Val())
		if err != nil {
			return err
		}
		byName[name] = u
	}
	return nil
}

// change runs a script that changes a user who has to be there.
func (s *users) change(ctx context.Context, name string, script *redis.Script, keys []string, args ...any) error {
	if !protocol.ValidName(name) {
		return user.NotFound(name)
	}
	done, err := s.run(ctx, script, keys, args...)
	if err == nil && !done {
		return user.NotFound(name)
	}
	return err
}

// run runs a script that returns how much it has done.
func (s *users) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (done bool, err error) {
	n, err := script.Run(ctx, s.client.rdb, keys, args...).Int()
	return n > 0, s.client.explain(err)
}

// decodeUser reads the values of fieldHash and fieldCreated, nil where there is
// no such field.
func decodeUser(name string, fields []any) (user.User, error) {
	hash, ok := fields[0].(string)
	if !ok {
		return user.User{}, user.NotFound(name)
	}
	u := user.User{Name: name, Hash: hash}
	created, ok := fields[1].(string)
	if !ok {
		return u, nil
	}
	t, err := time.Parse(time.RFC3339Nano, created)
	if err != nil {
		return user.User{}, fmt.Errorf("redis key %s%s: field %s: %w", userPrefix, name, fieldCreated, err)
	}
	u.Created = t.UTC()
	return u, nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
