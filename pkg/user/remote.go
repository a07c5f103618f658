package user

import (
	"context"
	"time"

	"github.com/sigctl/sigctl/pkg/admin"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// ErrNotServing is what DialAdmin returns if nothing listens on the socket.
var ErrNotServing = admin.ErrNotServing

// Remote is the Store of a running server, reached through its admin socket. It
// carries hashes, never passwords.
type Remote struct{ client *admin.Client }

// DialAdmin returns the store of the server that listens on the Unix socket, and
// ErrNotServing if there is none: then OpenBolt can open its file.
func DialAdmin(ctx context.Context, socket string) (*Remote, error) {
	client, err := admin.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	return &Remote{client}, nil
}

// Add implements Store.
func (r *Remote) Add(ctx context.Context, u User) error {
	if err := u.Check(); err != nil { // it may be too long for a request
		return err
	}
	_, err := adminAdd.Call(ctx, r.client, u)
	return err
}

// Claim implements Store.
func (r *Remote) Claim(ctx context.Context, name, source string) (User, error) {
	u, err := NewClaimed(name, source)
	if err != nil {
		return User{}, err
	}
	return adminClaim.Call(ctx, r.client, u)
}

// Get implements Store.
func (r *Remote) Get(ctx context.Context, name string) (u User, err error) {
	if !protocol.ValidName(name) {
		return User{}, NotFound(name)
	}
	return adminGet.Call(ctx, r.client, User{Name: name})
}

// SetHash implements Store.
func (r *Remote) SetHash(ctx context.Context, name, hash string) error {
	if err := CheckHash(hash); err != nil {
		return err
	}
	return r.change(ctx, adminSetHash, User{Name: name, Hash: hash})
}

// Revoke implements Store.
func (r *Remote) Revoke(ctx context.Context, name string, at time.Time) error {
	if err := CheckTime(at); err != nil {
		return err
	}
	return r.change(ctx, adminRevoke, User{Name: name, Revoked: at.UTC()})
}

// Delete implements Store.
func (r *Remote) Delete(ctx context.Context, name string) error {
	return r.change(ctx, adminDelete, User{Name: name})
}

// List implements Store.
func (r *Remote) List(ctx context.Context) ([]User, error) {
	return adminList.Call(ctx, r.client, struct{}{})
}

// Close implements Store.
func (r *Remote) Close() error { return r.client.Close() }

// change is a call about a user who is there, which nobody of an invalid name
// is: such a name may be too long for a request.
func (r *Remote) change(ctx context.Context, method change, u User) error {
	if !protocol.ValidName(u.Name) {
		return NotFound(u.Name)
	}
	_, err := method.Call(ctx, r.client, u)
	return err
}
