package user

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// ErrNotServing is what DialAdmin returns if nothing listens on the socket.
var ErrNotServing = errors.New("no server is running here")

const (
	adminAnswerWait = 30 * time.Second // longer than any store takes
	maxAdminAnswer  = 8192
	maxAdminList    = ListMax * 512 // bytes
)

// Remote is the Store of a running server, reached through its admin socket. It
// carries hashes, never passwords.
type Remote struct {
	// set at construction
	socket string
	client *http.Client
}

// DialAdmin returns the store of the server that listens on the Unix socket, and
// ErrNotServing if there is none: then OpenBolt can open its file.
func DialAdmin(ctx context.Context, socket string) (*Remote, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	conn, err := dial(ctx, "", "")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("admin socket %s: %w", socket, ErrNotServing)
	}
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	conn.Close()
	transport := &http.Transport{DialContext: dial, ResponseHeaderTimeout: adminAnswerWait}
	return &Remote{socket: socket, client: &http.Client{Transport: transport}}, nil
}

// Add implements Store.
func (r *Remote) Add(ctx context.Context, u User) error { return r.call(ctx, pathAdd, u, &struct{}{}) }

// Get implements Store.
func (r *Remote) Get(ctx context.Context, name string) (u User, err error) {
	err = r.callNamed(ctx, pathGet, User{Name: name}, &u)
	return u, err
}

// SetHash implements Store.
func (r *Remote) SetHash(ctx context.Context, name, hash string) error {
	return r.callNamed(ctx, pathSetHash, User{Name: name, Hash: hash}, &struct{}{})
}

// Delete implements Store.
func (r *Remote) Delete(ctx context.Context, name string) error {
	return r.callNamed(ctx, pathDelete, User{Name: name}, &struct{}{})
}

// List implements Store.
func (r *Remote) List(ctx context.Context) ([]User, error) {
	body, err := r.post(ctx, pathList, User{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var users []User
	// A server that dies in the middle is an error of the body, not its end.
	for lines := json.NewDecoder(io.LimitReader(body, maxAdminList)); ; {
		var u User
		if err := lines.Decode(&u); err == io.EOF {
			return users, nil
		} else if err != nil {
			return nil, r.explain(err)
		}
		if users = append(users, u); len(users) > ListMax {
			return nil, ErrTooMany
		}
	}
}

// Close implements Store.
func (r *Remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

// callNamed is call about a user who is there, which nobody of an invalid name
// is: such a name may be too long for a request.
func (r *Remote) callNamed(ctx context.Context, path string, u User, answer any) error {
	if !protocol.ValidName(u.Name) {
		return NotFound(u.Name)
	}
	return r.call(ctx, path, u, answer)
}

// call posts u and decodes the answer.
func (r *Remote) call(ctx context.Context, path string, u User, answer any) error {
	body, err := r.post(ctx, path, u)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAdminAnswer)).Decode(answer); err != nil {
		return r.explain(err)
	}
	return nil
}

// post returns the body of a good answer, for the caller to close.
func (r *Remote) post(ctx context.Context, path string, u User) (io.ReadCloser, error) {
	content, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, r.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, r.explain(readError(resp))
}

// explain names the socket in errors that are not a Store's.
func (r *Remote) explain(err error) error {
	if _, ok := errors.AsType[remoteError](err); ok {
		return err
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // its URL is a made-up one
	}
	return fmt.Errorf("admin socket %s: %w", r.socket, err)
}

// remoteError has the text that the server gave, and is the error it stands for.
type remoteError struct {
	message string
	kind    error
}

func (e remoteError) Error() string { return e.message }
func (e remoteError) Unwrap() error { return e.kind }

func readError(resp *http.Response) error {
	var answer adminError
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAdminAnswer)).Decode(&answer)
	if err != nil || answer.Message == "" {
		return fmt.Errorf("unexpected answer %s", resp.Status)
	}
	for _, e := range adminErrors {
		if answer.Code == e.code {
			return remoteError{answer.Message, e.err}
		}
	}
	return fmt.Errorf("the server failed: %s", answer.Message)
}
