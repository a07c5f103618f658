package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	maxAnswer        = 64 << 10 // bytes of an answer's body
	maxAnswerHeaders = 16 << 10 // bytes
)

// errNoAPI says that the server answers as one that has no HTTP API.
var errNoAPI = errors.New("the server has no HTTP API: it gives no tokens")

// api is the HTTP API of the signaling server, at the host and port of its
// WebSocket and with the same TLS settings. It is made for one use and closed
// after it: the server counts a connection that waits.
type api struct {
	base   url.URL
	client http.Client
}

func newAPI(target *url.URL, cfg *Config) *api {
	scheme := "https"
	if target.Scheme == "ws" {
		scheme = "http"
	}
	return &api{
		base: url.URL{Scheme: scheme, Host: target.Host},
		client: http.Client{
			Transport: &http.Transport{
				TLSClientConfig:        cfg.tlsConfig(target.Hostname()),
				MaxConnsPerHost:        1, // the second request waits for the first one's connection
				MaxResponseHeaderBytes: maxAnswerHeaders,
				DisableCompression:     true,
			},
			// A redirect would take the password or token to another place.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (a *api) close() { a.client.CloseIdleConnections() }

// login returns an access token. Where the TLS connection has a client certificate
// the password may be empty.
func (a *api) login(ctx context.Context, user, password string) (protocol.AccessToken, error) {
	var reply protocol.AccessToken
	err := a.post(ctx, protocol.PathLogin, "", protocol.LoginRequest{Name: user, Password: password}, &reply)
	if err == nil {
		err = checkToken(reply.Token)
	}
	if err != nil {
		return reply, fmt.Errorf("get an access token: %w", err)
	}
	return reply, nil
}

// join returns a room token for the bearer of an access token.
func (a *api) join(ctx context.Context, bearer, room string) (string, error) {
	var reply protocol.RoomToken
	err := a.post(ctx, protocol.PathJoin, bearer, protocol.JoinRequest{Room: room}, &reply)
	if err == nil {
		err = checkToken(reply.Token)
	}
	if err != nil {
		return "", fmt.Errorf("get a room token: %w", err)
	}
	return reply.Token, nil
}

// post sends in and reads the answer into out. What the server refuses is an
// [ErrAuth] that wraps a [ServerError].
func (a *api) post(ctx context.Context, path, bearer string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	a.base.Path = path
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("connect to %s://%s: %w", a.base.Scheme, a.base.Host, withoutURL(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer to %s: %w", path, err)
	case len(answer) > maxAnswer:
		return fmt.Errorf("the answer to %s is larger than %d bytes", path, maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return refusal(resp, path, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decode the answer to %s: %w", path, err)
	}
	return nil
}

// refusal is the error for an answer that is not 200.
func refusal(resp *http.Response, path string, answer []byte) error {
	var m protocol.Error
	if json.Unmarshal(answer, &m) == nil && m.Code != "" {
		return fmt.Errorf("%w: %w", ErrAuth, serverError(m))
	}
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusBadRequest, http.StatusUpgradeRequired: // of a server for WebSockets alone
		return errNoAPI
	}
	return fmt.Errorf("the server answered %s to %s", printable(resp.Status), path)
}

// withoutURL takes the method and URL, which we say in our own terms, off the
// HTTP client's error.
func withoutURL(err error) error {
	var fault *url.Error
	if errors.As(err, &fault) {
		return fault.Err
	}
	return err
}
