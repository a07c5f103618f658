package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// A user is a Redis hash at userPrefix and the name, of these fields. Who has
// neither a hash nor a source is nobody.
const (
	userPrefix   = "sigctl:user:"
	fieldHash    = "hash"    // PHC string; none for another source than the password
	fieldCreated = "created" // RFC 3339
	fieldSource  = "source"  // see user.User; none means the password
	fieldRevoked = "revoked" // RFC 3339, whole seconds in UTC; none if never

	scanCount = 1000 // keys looked at per round trip
)

// Scripts, because a user is written only if it is not there, or is. KEYS[1] is
// the user's key. What a new user has is written by HSET from the last arguments.
var (
	addScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1`)
	claimScript = redis.NewScript(claimBody)
	// It returns the source if that is not the password.
	setHashScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local source = redis.call('HGET', KEYS[1], 'source')
if source and source ~= '' and source ~= 'password' then return source end
redis.call('HSET', KEYS[1], 'hash', ARGV[1])
local revoked = redis.call('HGET', KEYS[1], 'revoked')
if not revoked or revoked < ARGV[2] then redis.call('HSET', KEYS[1], 'revoked', ARGV[2]) end
return 1`)
	// Times of this form sort as text.
	revokeScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local revoked = redis.call('HGET', KEYS[1], 'revoked')
if not revoked or revoked < ARGV[1] then redis.call('HSET', KEYS[1], 'revoked', ARGV[1]) end
return 1`)
)

// getFields is what the scripts below read of a user.
const getFields = `redis.call('HMGET', KEYS[1], 'hash', 'created', 'source', 'revoked')`

const claimBody = `
local u = ` + getFields + `
if not u[1] and not u[3] then
	redis.call('HSET', KEYS[1], unpack(ARGV))
	u = ` + getFields + `
end
return u`

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
	done, err := s.run(ctx, addScript, userKeys(u.Name), encodeUser(u)...)
	if err == nil && !done {
		return user.Exists(u.Name)
	}
	return err
}

func (s *users) Claim(ctx context.Context, name, source string) (user.User, error) {
	return s.claim(ctx, claimScript, userKeys(name), name, source)
}

func (s *users) claim(ctx context.Context, script *redis.Script, keys []string, name, source string) (user.User, error) {
	fresh, err := user.NewClaimed(name, source)
	if err != nil {
		return user.User{}, err
	}
	fields, err := script.Run(ctx, s.client.rdb, keys, encodeUser(fresh)...).Slice()
	if err != nil {
		return user.User{}, s.client.explain(err)
	}
	u, err := decodeUser(name, fields)
	if err == nil && u.Source != source {
		return user.User{}, user.OtherSource(name, u.Source)
	}
	return u, err
}

func (s *users) Get(ctx context.Context, name string) (user.User, error) {
	if !protocol.ValidName(name) {
		return user.User{}, user.NotFound(name)
	}
	fields, err := s.client.rdb.HMGet(ctx, userPrefix+name, fieldHash, fieldCreated, fieldSource, fieldRevoked).Result()
	if err != nil {
		return user.User{}, s.client.explain(err)
	}
	return decodeUser(name, fields)
}

func (s *users) SetHash(ctx context.Context, name, hash string) error {
	if err := user.CheckHash(hash); err != nil {
		return err
	}
	return s.change(ctx, name, setHashScript, userKeys(name), hash, formatTime(time.Now().Truncate(time.Second)))
}

func (s *users) Revoke(ctx context.Context, name string, at time.Time) error {
	if err := user.CheckTime(at); err != nil {
		return err
	}
	return s.change(ctx, name, revokeScript, userKeys(name), formatTime(at.Truncate(time.Second)))
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
			answers[name] = pipe.HMGet(ctx, key, fieldHash, fieldCreated, fieldSource, fieldRevoked)
		}
	}
	if len(answers) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return s.client.explain(err)
	}
	for name, answer := range answers {
		u, err := decodeUser(name, answer.Val())
		if errors.Is(err, user.ErrNotFound) {
			continue // deleted since the scan
		}
		if err != nil {
			return err
		}
		byName[name] = u
	}
	return nil
}

// change runs a script that changes a user who has to be there. It returns the
// user's source instead if that forbids the change.
func (s *users) change(ctx context.Context, name string, script *redis.Script, keys []string, args ...any) error {
	if !protocol.ValidName(name) {
		return user.NotFound(name)
	}
	answer, err := script.Run(ctx, s.client.rdb, keys, args...).Result()
	switch answer := answer.(type) {
	case int64:
		if answer == 0 {
			return user.NotFound(name)
		}
	case string:
		return user.OtherSource(name, answer)
	}
	return s.client.explain(err)
}

// run runs a script that returns how much it has done.
func (s *users) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (done bool, err error) {
	n, err := script.Run(ctx, s.client.rdb, keys, args...).Int()
	return n > 0, s.client.explain(err)
}

func userKeys(name string) []string { return []string{userPrefix + name} }

// encodeUser returns the fields that u has, for HSET.
func encodeUser(u user.User) []any {
	fields := []any{fieldCreated, formatTime(u.Created)}
	if u.Hash != "" {
		fields = append(fields, fieldHash, u.Hash)
	}
	if u.Source != "" && u.Source != user.SourcePassword {
		fields = append(fields, fieldSource, u.Source)
	}
	if !u.Revoked.IsZero() {
		fields = append(fields, fieldRevoked, formatTime(u.Revoked))
	}
	return fields
}

// decodeUser reads the values of fieldHash, fieldCreated, fieldSource and
// fieldRevoked, nil where there is no such field.
func decodeUser(name string, fields []any) (u user.User, err error) {
	var texts [4]string
	for i := range texts {
		texts[i], _ = fields[i].(string)
	}
	if fields[0] == nil && texts[2] == "" {
		return user.User{}, user.NotFound(name)
	}
	u = user.User{Name: name, Hash: texts[0], Source: cmp.Or(texts[2], user.SourcePassword)}
	if u.Created, err = parseTime(texts[1]); err != nil {
		return user.User{}, fmt.Errorf("redis key %s%s: field %s: %w", userPrefix, name, fieldCreated, err)
	}
	if u.Revoked, err = parseTime(texts[3]); err != nil {
		return user.User{}, fmt.Errorf("redis key %s%s: field %s: %w", userPrefix, name, fieldRevoked, err)
	}
	return u, nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// parseTime is the inverse of formatTime; no text is no time.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}
