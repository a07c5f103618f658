package user

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// AuthOptions configures an Authenticator. Zero fields mean the defaults.
type AuthOptions struct {
	// Params is the cost of the hashes in the store, default DefaultParams. An
	// unknown name is made to cost as much, so users whose hashes were made with
	// other parameters can be told from unknown names by the time of an answer.
	// NewAuthenticator panics if they are out of bounds.
	Params Params
	// Concurrency is how many hashes are computed at once, default the number of
	// cores (GOMAXPROCS). Each holds Params.Memory while it runs, and leaves it to
	// the garbage collector: expect twice Concurrency × Memory at full load.
	Concurrency int
	// Waiting is how many more logins may wait for their turn, default 256 for each of
	// Concurrency (some 5 s at the default cost). When more come, the largest group of
	// addresses loses a place: its newest login gets ErrBusy. See limit.Turns.
	Waiting int
}

// Authenticator checks passwords against a Store. It bounds the work that
// strangers can cause, and hides by its answers and their time who exists.
type Authenticator struct {
	// set at construction
	store  Store
	params Params
	dummy  digest                      // of no password
	derive func(string, digest) []byte // replaced in tests
	turns  *limit.Turns                // a worker per hash being computed
}

// NewAuthenticator returns an Authenticator of the users in store. nil options
// mean the defaults.
func NewAuthenticator(store Store, opts *AuthOptions) *Authenticator {
	var o AuthOptions
	if opts != nil {
		o = *opts
	}
	if o.Params == (Params{}) {
		o.Params = DefaultParams
	}
	if err := o.Params.check(); err != nil {
		panic(err)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	if o.Waiting <= 0 {
		o.Waiting = 256 * o.Concurrency
	}
	return &Authenticator{
		store:  store,
		params: o.Params,
		dummy:  newDigest(o.Params),
		derive: derive,
		turns:  limit.NewTurns(o.Concurrency, o.Waiting),
	}
}

// Authenticate returns nil if password is that of the user name. It returns ErrBadCredentials
// if not, or if the name belongs to another source; ErrBusy if too many logins wait and from is
// of the group that has the most; the context's error if it ends before it is the password's
// turn to be hashed; and any other error if the store failed.
//
// Whatever the store holds under the name, it costs one hash. The hashes of all clients are
// computed in the order of limit.Turns.
func (a *Authenticator) Authenticate(ctx context.Context, name, password string, from limit.Client) error {
	// These can be nobody's: being quick with them tells nothing.
	if !protocol.ValidName(name) || checkPassword(password) != nil {
		return ErrBadCredentials
	}
	u, plain, err := a.lookup(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("look up user: %w", err)
	}
	if plain != "" {
		return a.adopt(ctx, name, password, plain, from)
	}
	d := a.dummy
	if err == nil && ofPassword(u.Source) {
		if d, err = parseDigest(u.Hash); err != nil {
			return fmt.Errorf("read user %s: %w", name, err)
		}
	}
	key, err := a.hash(ctx, password, d, from)
	if err != nil {
		return err
	}
	if !d.equal(key) {
		return ErrBadCredentials
	}
	return nil
}

func (a *Authenticator) lookup(ctx context.Context, name string) (u User, plain string, err error) {
	if s, ok := a.store.(PlainStore); ok {
		return s.Lookup(ctx, name)
	}
	u, err = a.store.Get(ctx, name)
	return u, "", err
}

// adopt checks password against a plain one, and replaces that by a hash. It
// makes the hash first, needed or not, because a user with a plain password must
// cost as much as any other.
func (a *Authenticator) adopt(ctx context.Context, name, password, plain string, from limit.Client) error {
	d := newDigest(a.params)
	key, err := a.hash(ctx, password, d, from)
	if err != nil {
		return err
	}
	if !equalStrings(password, plain) {
		return ErrBadCredentials
	}
	d.key = key
	u := User{Name: name, Hash: d.String(), Created: thisSecond(), Source: SourcePassword}
	if err := a.store.(PlainStore).Adopt(ctx, u, plain); err != nil {
		return fmt.Errorf("replace the plain password of %s: %w", name, err)
	}
	return nil
}

// hash derives a key when it is this login's turn.
func (a *Authenticator) hash(ctx context.Context, password string, d digest, from limit.Client) ([]byte, error) {
	if err := a.turns.Acquire(ctx, from); errors.Is(err, limit.ErrFull) {
		return nil, ErrBusy
	} else if err != nil {
		return nil, err
	}
	defer a.turns.Release()
	return a.derive(password, d), nil
}

// equalStrings takes a time that does not depend on where a and b differ, nor
// on whether their lengths do.
func equalStrings(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
