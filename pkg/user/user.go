// Package user knows whose each name is, and who may sign in with a password:
// User, the Store that keeps them, and the Authenticator that the signaling
// server asks.
//
// A Store has several implementations, all held to one contract by package
// usertest: Bolt (one file, the default), the Redis store of pkg/redis, and
// Remote, which reaches the store of a running server through its admin socket.
//
//	store, err := user.OpenBolt(filepath.Join(dataDir, "users.db"))
//	…
//	alice, err := user.New("alice", "correct horse battery staple", user.DefaultParams)
//	…
//	err = store.Add(ctx, alice)
//	…
//	auth := user.NewAuthenticator(store, nil)
//	err = auth.Authenticate(ctx, "alice", password, attempt.Client()) // nil, ErrBadCredentials or ErrBusy
package user

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// User is the owner of a name.
type User struct {
	Name string `json:"name"` // see protocol.ValidName; case-sensitive
	// Hash is the password's argon2id hash as a PHC string, see Hash. Who is of
	// another source than SourcePassword has none.
	Hash    string    `json:"hash,omitempty"`
	Created time.Time `json:"created"` // UTC
	// Source is the identity source that the name belongs to, see source.go: "" is
	// SourcePassword, which is what a Store returns then.
	Source string `json:"source,omitempty"`
	// Revoked is the second up to which, and including which, all that was issued to
	// the user is void. UTC; zero if nothing was ever revoked.
	Revoked time.Time `json:"revoked,omitzero"`
}

// New returns a user with the hash of password, created now.
// Its errors are those of Hash, and ErrInvalid.
func New(name, password string, p Params) (User, error) {
	hash, err := Hash(password, p)
	if err != nil {
		return User{}, err
	}
	u := User{Name: name, Hash: hash, Created: thisSecond(), Source: SourcePassword}
	return u, u.Check()
}

// NewClaimed returns a user of another source than the password, created now.
// Every Store calls it in Claim. ErrInvalid.
func NewClaimed(name, source string) (User, error) {
	u := User{Name: name, Created: thisSecond(), Source: source}
	return u, u.Check()
}

func thisSecond() time.Time { return time.Now().UTC().Truncate(time.Second) }

// ValidAfter is the second after which what this system issued to u (tokens,
// resume secrets, relay credentials) is good: the later one of Created and
// Revoked. Created counts because the name may have had an owner before, who was
// deleted and whose tokens live on. What is issued in that very second has to be
// dated a second later.
//
// What an outside issuer issued is older than a name that is claimed with it, and
// good: for that, Revoked counts alone.
func (u User) ValidAfter() time.Time {
	if u.Revoked.After(u.Created) {
		return u.Revoked.Truncate(time.Second)
	}
	return u.Created.Truncate(time.Second)
}

// Check reports, as ErrInvalid, what keeps u from being stored. Every Store
// calls it in Add.
func (u User) Check() error {
	if !protocol.ValidName(u.Name) {
		return fmt.Errorf("%w name %.80q: it takes 1 to %d letters, digits and . _ @ + -", ErrInvalid, u.Name, protocol.MaxNameLen)
	}
	if err := errors.Join(checkSource(u.Source), CheckTime(u.Created), CheckTime(u.Revoked)); err != nil {
		return err
	}
	if ofPassword(u.Source) {
		return CheckHash(u.Hash)
	}
	if u.Hash != "" {
		return fmt.Errorf("%w: a name that %s has no password", ErrInvalid, owner(u.Source))
	}
	return nil
}

// CheckTime reports, as ErrInvalid, a time that cannot be stored: RFC 3339,
// section 1, has the years 0 to 9999 alone.
func CheckTime(t time.Time) error {
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return fmt.Errorf("%w: year %d", ErrInvalid, year)
	}
	return nil
}

// NotFound is ErrNotFound with the name, for implementations of Store.
func NotFound(name string) error { return fmt.Errorf("%w: %.80q", ErrNotFound, name) }

// Exists is ErrExists with the name, for implementations of Store.
func Exists(name string) error { return fmt.Errorf("%w: %.80q", ErrExists, name) }

// LogValue keeps the hash out of logs.
func (u User) LogValue() slog.Value { return slog.StringValue(u.Name) }

// What a Store and an Authenticator answer. They come wrapped: use errors.Is.
var (
	ErrNotFound = errors.New("no such user")
	ErrExists   = errors.New("user exists already")
	ErrInvalid  = errors.New("invalid user")
	ErrSource   = errors.New("name belongs to another source")
	ErrTooMany  = fmt.Errorf("more than %d users to list", ListMax)

	// ErrBadCredentials is the one answer to a wrong name and a wrong password.
	ErrBadCredentials = errors.New("wrong user name or password")
	// ErrBusy means that too many logins are waiting already. Try again later.
	ErrBusy = errors.New("too many logins at once")
)

// ListMax is how many users List returns at most (about 300 MB).
const ListMax = 1_000_000

// Store keeps users. All methods are safe for concurrent use. A canceled
// context ends the wait for a store; a write that has begun may still be done.
// A write is durable when its method returns without an error.
type Store interface {
	// Add stores a new user. ErrExists if the name is taken, by whatever source,
	// ErrInvalid.
	Add(ctx context.Context, u User) error
	// Claim returns the user of that name and source, which it adds, in one step, if
	// the name is free. ErrSource if the name belongs to another source. ErrInvalid,
	// also for SourcePassword: such a user comes by Add.
	Claim(ctx context.Context, name, source string) (User, error)
	// Get returns a user. ErrNotFound.
	Get(ctx context.Context, name string) (User, error)
	// SetHash replaces the password's hash, and voids what was issued to the user, as
	// Revoke does now. ErrNotFound, ErrInvalid, ErrSource if
	// the user has no password.
	SetHash(ctx context.Context, name, hash string) error
	// Revoke sets Revoked to the second of at, unless it is later already.
	// ErrNotFound, ErrInvalid.
	Revoke(ctx context.Context, name string, at time.Time) error
	// Delete removes a user. ErrNotFound.
	Delete(ctx context.Context, name string) error
	// List returns all users, sorted by the bytes of their names. It is not a
	// snapshot: who is added or deleted meanwhile may or may not be in it.
	// ErrTooMany above ListMax.
	List(ctx context.Context) ([]User, error)
	// Close releases the store. Closing again does nothing.
	Close() error
}

// PlainStore is a Store that may also hold passwords that were put there in
// plain text. The Authenticator replaces each by a hash at its first good login.
type PlainStore interface {
	Store
	// Lookup is Get that also finds a plain password: of an error, a user and a
	// non-empty password it returns exactly one. It takes equally long for each,
	// so that time does not tell which names exist.
	Lookup(ctx context.Context, name string) (u User, plain string, err error)
	// Adopt stores u in place of the plain password, in one step. It does
	// nothing if that is not plain any more, or the user is stored already.
	Adopt(ctx context.Context, u User, plain string) error
}
