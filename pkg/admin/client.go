package admin

import (
	"bytes"
	"cmp"
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
)

// answerWait is longer than any call takes to begin its answer.
const answerWait = 30 * time.Second

// Client makes calls through the admin socket of a running server. It is safe
// for concurrent use.
type Client struct {
	// set at construction
	socket string
	http   *http.Client
}

// Dial returns a client of the server that listens on the Unix socket, and
// ErrNotServing if there is none. The caller closes it.
func Dial(ctx context.Context, socket string) (*Client, error) {
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
	transport := &http.Transport{DialContext: dial, ResponseHeaderTimeout: answerWait}
	return &Client{socket: socket, http: &http.Client{Transport: transport}}, nil
}

// Close closes the connections that no call uses. Closing again does nothing.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Call makes the call. Its errors are those of Errors, ErrBadRequest, and others
// that name the socket.
func (m Method[In, Out]) Call(ctx context.Context, c *Client, in In) (out Out, err error) {
	body, err := c.post(ctx, m.Path, in, m.Errors)
	if err != nil {
		return out, err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&out); err != nil {
		return out, c.explain(err)
	}
	return out, nil
}

// Call makes the call. Its errors are those of Errors, ErrBadRequest, and others
// that name the socket.
func (l List[In, Out]) Call(ctx context.Context, c *Client, in In) ([]Out, error) {
	body, err := c.post(ctx, l.Path, in, l.Errors)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var all []Out
	most := cmp.Or(l.Max, defaultMax)
	// A server that dies in the middle is an error of the body, not its end.
	for lines := json.NewDecoder(io.LimitReader(body, int64(most)*maxLine)); ; {
		var out Out
		if err := lines.Decode(&out); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, c.explain(err)
		}
		if all = append(all, out); len(all) > most {
			return nil, c.explain(fmt.Errorf("more than %d lines in the answer to %s", most, l.Path))
		}
	}
}

// post returns the body of a good answer, for the caller to close.
func (c *Client) post(ctx context.Context, path string, in any, known []Error) (io.ReadCloser, error) {
	content, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, c.readError(resp, path, known)
}

// readError is the inverse of writeError.
func (c *Client) readError(resp *http.Response, path string, known []Error) error {
	var answer errorBody
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer)
	switch {
	case err != nil && resp.StatusCode == http.StatusNotFound:
		return c.explain(fmt.Errorf("the running server does not know %s: it is of another version", path))
	case err != nil || answer.Message == "":
		return c.explain(fmt.Errorf("unexpected answer %s", resp.Status))
	}
	for _, e := range append([]Error{badRequest}, known...) {
		if answer.Code == e.Code {
			return remoteError{answer.Message, e.Err}
		}
	}
	return c.explain(fmt.Errorf("the server failed: %s", answer.Message))
}

// explain names the socket.
func (c *Client) explain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // its URL is a made-up one
	}
	return fmt.Errorf("admin socket %s: %w", c.socket, err)
}

// remoteError has the text that the server gave, and is the error it stands for.
type remoteError struct {
	message string
	kind    error
}

func (e remoteError) Error() string { return e.message }
func (e remoteError) Unwrap() error { return e.kind }
