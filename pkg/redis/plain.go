package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// plainUsers is users with Options.Plaintext: a user.PlainStore. A key that is
// just a user's name can hold the password, unless the user has a key of ours.
// Names have no colon, so none of them is a key of ours, or of anyone's with a
// prefix.
type plainUsers struct{ *users }

// plainFunction is the beginning of the scripts below: what counts as a plain
// password, or else "". The length comes before the value: the key may be
// anyone's, and large.
var plainFunction = fmt.Sprintf(`
local function plain(key)
	if redis.call('TYPE', key).ok ~= 'string' or redis.call('STRLEN', key) > %d then return '' end
	local value = redis.call('GET', key)
	if string.sub(value, 1, 1) == '$' then return '' end
	return value
end
`, user.MaxPassword)

// KEYS are our key and the plain one, in all of them.
var (
	lookupScript = redis.NewScript(plainFunction + `
local u = ` + getFields + `
u[5] = plain(KEYS[2])
return u`)
	adoptScript = redis.NewScript(plainFunction + `
if redis.call('EXISTS', KEYS[1]) == 1 or plain(KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('DEL', KEYS[2])
return 1`)
	plainClaimScript = redis.NewScript(plainFunction + `
local u = ` + getFields + `
if not u[1] and not u[3] and plain(KEYS[2]) ~= '' then return {'', false, 'password', false} end
` + claimBody)
	deleteScript = redis.NewScript(plainFunction + `
local n = redis.call('DEL', KEYS[1])
if plain(KEYS[2]) ~= '' then n = n + redis.call('DEL', KEYS[2]) end
return n`)
)

func plainKeys(name string) []string { return []string{userPrefix + name, name} }

// Lookup implements user.PlainStore. It is one round trip for every name.
func (s *plainUsers) Lookup(ctx context.Context, name string) (user.User, string, error) {
	if !protocol.ValidName(name) {
		return user.User{}, "", user.NotFound(name)
	}
	fields, err := lookupScript.Run(ctx, s.client.rdb, plainKeys(name)).Slice()
	if err != nil {
		return user.User{}, "", s.client.explain(err)
	}
	u, err := decodeUser(name, fields)
	if plain, _ := fields[4].(string); errors.Is(err, user.ErrNotFound) && plain != "" {
		return user.User{}, plain, nil
	}
	return u, "", err
}

// Adopt implements user.PlainStore.
func (s *plainUsers) Adopt(ctx context.Context, u user.User, plain string) error {
	if err := u.Check(); err != nil {
		return err
	}
	_, err := s.run(ctx, adoptScript, plainKeys(u.Name), append([]any{plain}, encodeUser(u)...)...)
	return err
}

// Claim implements user.Store. A plain password has its name, adopted or not.
func (s *plainUsers) Claim(ctx context.Context, name, source string) (user.User, error) {
	return s.claim(ctx, plainClaimScript, plainKeys(name), name, source)
}

// Delete also deletes a plain password: it would let the user in again.
func (s *plainUsers) Delete(ctx context.Context, name string) error {
	return s.change(ctx, name, deleteScript, plainKeys(name))
}
