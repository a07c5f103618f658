package user

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// The admin API of users: a path per method of Store, POST, JSON. A request's
// body is a User of which the method's fields are set; names are in the body
// because "." and ".." are names too. List answers with a User per line. Errors
// are {"code", "message"} with the status and code of adminErrors.
const (
	pathAdd     = "/users/add"
	pathGet     = "/users/get"
	pathSetHash = "/users/sethash"
	pathDelete  = "/users/delete"
	pathList    = "/users/list"

	maxAdminBody = 4096 // a User takes 400 bytes at most
)

// adminErrors is how the errors of a Store travel, in both directions.
var adminErrors = []struct {
	code   string
	status int
	err    error
}{
	{"not_found", http.StatusNotFound, ErrNotFound},
	{"exists", http.StatusConflict, ErrExists},
	{"invalid", http.StatusUnprocessableEntity, ErrInvalid},
	{"too_many", http.StatusInsufficientStorage, ErrTooMany},
}

type adminError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// NewHandler serves store to a Remote, below /users/. It does not ask who calls
// and gives out hashes: it belongs on the admin socket (mode 0600) alone.
func NewHandler(store Store) http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, f func(r *http.Request, u User) (any, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var u User
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody)).Decode(&u); err != nil {
				writeError(w, fmt.Errorf("%w: read request: %w", ErrInvalid, err))
				return
			}
			answer, err := f(r, u)
			if err != nil {
				writeError(w, err)
				return
			}
			writeJSON(w, http.StatusOK, answer)
		})
	}
	handle(pathAdd, func(r *http.Request, u User) (any, error) { return struct{}{}, store.Add(r.Context(), u) })
	handle(pathGet, func(r *http.Request, u User) (any, error) { return store.Get(r.Context(), u.Name) })
	handle(pathSetHash, func(r *http.Request, u User) (any, error) {
		return struct{}{}, store.SetHash(r.Context(), u.Name, u.Hash)
	})
	handle(pathDelete, func(r *http.Request, u User) (any, error) {
		return struct{}{}, store.Delete(r.Context(), u.Name)
	})
	mux.HandleFunc("POST "+pathList, func(w http.ResponseWriter, r *http.Request) {
		users, err := store.List(r.Context())
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, users...)
	})
	return mux
}

// writeJSON writes a line per value.
func writeJSON[T any](w http.ResponseWriter, status int, values ...T) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	for _, v := range values {
		if enc.Encode(v) != nil {
			return // the client has gone
		}
	}
}

func writeError(w http.ResponseWriter, err error) {
	for _, e := range adminErrors {
		if errors.Is(err, e.err) {
			writeJSON(w, e.status, adminError{e.code, err.Error()})
			return
		}
	}
	// Whoever may open the socket may know all.
	writeJSON(w, http.StatusInternalServerError, adminError{"internal", err.Error()})
}
