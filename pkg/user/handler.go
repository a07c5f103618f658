package user

import (
	"context"
	"net/http"

	"github.com/sigctl/sigctl/pkg/admin"
)

// The admin API of users: a method per method of Store. A request is a User of
// which the method's fields are set; names are in the body because "." and ".."
// are names too.
type (
	change = admin.Method[User, struct{}]
	read   = admin.Method[User, User]
)

var (
	adminAdd     = change{Path: "/users/add", Errors: adminErrors}
	adminClaim   = read{Path: "/users/claim", Errors: adminErrors}
	adminGet     = read{Path: "/users/get", Errors: adminErrors}
	adminSetHash = change{Path: "/users/sethash", Errors: adminErrors}
	adminRevoke  = change{Path: "/users/revoke", Errors: adminErrors}
	adminDelete  = change{Path: "/users/delete", Errors: adminErrors}
	adminList    = admin.List[struct{}, User]{Path: "/users/list", Errors: adminErrors, Max: ListMax}

	adminErrors = []admin.Error{
		{Code: "not_found", Status: http.StatusNotFound, Err: ErrNotFound},
		{Code: "exists", Status: http.StatusConflict, Err: ErrExists},
		{Code: "source", Status: http.StatusConflict, Err: ErrSource},
		{Code: "invalid", Status: http.StatusUnprocessableEntity, Err: ErrInvalid},
		{Code: "too_many", Status: http.StatusInsufficientStorage, Err: ErrTooMany},
	}
)

// NewHandler serves store to a Remote, below /users/. It does not ask who calls
// and gives out hashes: it belongs on the admin socket (mode 0600) alone.
func NewHandler(store Store) http.Handler {
	mux := http.NewServeMux()
	handle := func(method change, f func(context.Context, User) error) {
		method.Handle(mux, func(ctx context.Context, u User) (struct{}, error) { return struct{}{}, f(ctx, u) })
	}
	handle(adminAdd, store.Add)
	handle(adminSetHash, func(ctx context.Context, u User) error { return store.SetHash(ctx, u.Name, u.Hash) })
	handle(adminRevoke, func(ctx context.Context, u User) error { return store.Revoke(ctx, u.Name, u.Revoked) })
	handle(adminDelete, func(ctx context.Context, u User) error { return store.Delete(ctx, u.Name) })
	adminClaim.Handle(mux, func(ctx context.Context, u User) (User, error) { return store.Claim(ctx, u.Name, u.Source) })
	adminGet.Handle(mux, func(ctx context.Context, u User) (User, error) { return store.Get(ctx, u.Name) })
	adminList.Handle(mux, func(ctx context.Context, _ struct{}) ([]User, error) { return store.List(ctx) })
	return mux
}
