package user

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrLocked is what OpenBolt returns while another process has the file open.
// If that is `sigctl serve`, DialAdmin reaches its store.
var ErrLocked = errors.New("is in use by another process")

const (
	lockWait = time.Second
	listPage = 1000 // users per transaction: a long one would hold up writers
)

var usersBucket = []byte("users")

// Bolt is the embedded Store: one bbolt file, which one process at a time can
// have open. Each write is synced to the disk before its method returns.
type Bolt struct {
	// set at construction
	db      *bbolt.DB
	writer  chan struct{} // bbolt has one writer; waiting for it here can be canceled
	listMax int
}

// OpenBolt opens the store at path, and creates the file, but not its
// directory, if there is none. Only the file's owner may read it. It waits up to
// 1 s for another process to close the file, then returns ErrLocked.
func OpenBolt(path string) (*Bolt, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("user store %s %w", path, ErrLocked)
	case isPathError(err):
		return nil, fmt.Errorf("user store: %w", err)
	case err != nil:
		return nil, fmt.Errorf("user store %s: %w", path, err)
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(fmt.Errorf("user store %s: %w", path, err), db.Close())
	}
	return &Bolt{db: db, writer: make(chan struct{}, 1), listMax: ListMax}, nil
}

// isPathError reports whether err names the file already.
func isPathError(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}

// prepare makes the file private, whoever made it, and ready.
func prepare(db *bbolt.DB) error {
	if err := os.Chmod(db.Path(), 0o600); err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(usersBucket)
		return err
	})
}

// Add implements Store.
func (b *Bolt) Add(ctx context.Context, u User) error {
	if err := u.Check(); err != nil {
		return err
	}
	return b.update(ctx, func(users *bbolt.Bucket) error {
		if users.Get([]byte(u.Name)) != nil {
			return Exists(u.Name)
		}
		return put(users, u)
	})
}

// Claim implements Store. It writes, and so waits for the disk, only once per name.
func (b *Bolt) Claim(ctx context.Context, name, source string) (User, error) {
	fresh, err := NewClaimed(name, source)
	if err != nil {
		return User{}, err
	}
	u, err := b.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		err = b.update(ctx, func(users *bbolt.Bucket) error {
			if u, err = get(users, name); !errors.Is(err, ErrNotFound) {
				return err
			}
			u = fresh
			return put(users, fresh)
		})
	}
	if err == nil {
		err = u.checkOwner(source)
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

// Get implements Store.
func (b *Bolt) Get(ctx context.Context, name string) (u User, err error) {
	err = b.view(ctx, func(users *bbolt.Bucket) error {
		u, err = get(users, name)
		return err
	})
	return u, err
}

// SetHash implements Store.
func (b *Bolt) SetHash(ctx context.Context, name, hash string) error {
	if err := CheckHash(hash); err != nil {
		return err
	}
	return b.change(ctx, name, func(u *User) error {
		u.Hash = hash
		if now := time.Now().UTC().Truncate(time.Second); now.After(u.Revoked) {
			u.Revoked = now
		}
		return u.checkOwner(SourcePassword)
	})
}

// Revoke implements Store.
func (b *Bolt) Revoke(ctx context.Context, name string, at time.Time) error {
	if err := CheckTime(at); err != nil {
		return err
	}
	return b.change(ctx, name, func(u *User) error {
		if at = at.UTC().Truncate(time.Second); at.After(u.Revoked) {
			u.Revoked = at
		}
		return nil
	})
}

// change stores what f makes of a user who is there.
func (b *Bolt) change(ctx context.Context, name string, f func(*User) error) error {
	return b.update(ctx, func(users *bbolt.Bucket) error {
		u, err := get(users, name)
		if err != nil {
			return err
		}
		if err := f(&u); err != nil {
			return err
		}
		return put(users, u)
	})
}

// Delete implements Store.
func (b *Bolt) Delete(ctx context.Context, name string) error {
	return b.update(ctx, func(users *bbolt.Bucket) error {
		if _, err := get(users, name); err != nil {
			return err
		}
		return users.Delete([]byte(name))
	})
}

// List implements Store.
func (b *Bolt) List(ctx context.Context) ([]User, error) {
	var all []User
	for more := true; more; {
		err := b.view(ctx, func(users *bbolt.Bucket) (err error) {
			all, more, err = appendPage(all, users.Cursor())
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(all) > b.listMax {
			return nil, ErrTooMany
		}
	}
	return all, nil
}

// appendPage appends the users after the last of all, up to listPage of them.
func appendPage(all []User, c *bbolt.Cursor) (_ []User, more bool, err error) {
	name, value := c.First()
	if n := len(all); n > 0 {
		// The least name that is greater.
		name, value = c.Seek([]byte(all[n-1].Name + "\x00"))
	}
	for range listPage {
		if name == nil {
			return all, false, nil
		}
		u, err := decode(name, value)
		if err != nil {
			return nil, false, err
		}
		all = append(all, u)
		name, value = c.Next()
	}
	return all, name != nil, nil
}

// Close implements Store. It waits for the calls under way.
func (b *Bolt) Close() error { return b.db.Close() }

func (b *Bolt) view(ctx context.Context, f func(users *bbolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.db.View(func(tx *bbolt.Tx) error { return f(tx.Bucket(usersBucket)) })
}

func (b *Bolt) update(ctx context.Context, f func(users *bbolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case b.writer <- struct{}{}:
		defer func() { <-b.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return b.db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket(usersBucket)) })
}

func get(users *bbolt.Bucket, name string) (User, error) {
	value := users.Get([]byte(name))
	if value == nil {
		return User{}, NotFound(name)
	}
	return decode([]byte(name), value)
}

func put(users *bbolt.Bucket, u User) error {
	value, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return users.Put([]byte(u.Name), value)
}

func decode(name, value []byte) (u User, err error) {
	if err := json.Unmarshal(value, &u); err != nil {
		return User{}, fmt.Errorf("read user %s: %w", name, err)
	}
	u.Name, u.Source = string(name), cmp.Or(u.Source, SourcePassword)
	return u, nil
}
