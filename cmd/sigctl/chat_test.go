package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/admin"
	"github.com/sigctl/sigctl/pkg/protocol"
)

func writeFile(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestChatFlags(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"--user a", ""},
		{"--token env:A", ""},
		{"--user a --room b --token env:A", ""},
		{"--user a --cert f --key f --password-file f", ""},
		{"", "--user: is needed"},
		{"--cert f --key f", "--user: is needed"},
		{"--user a --room b/c", "--room: "},
		{"--token env:A --password-file f", "--token: does not go with --password-file"},
		{"--user a --cert f", "--cert: certificate and key come together"},
		{"--user a --key f", "--cert: certificate and key come together"},
		{"--token env:A --server ws://example.com", "--server: ws:// would send password or token readable"},
	} {
		cmd := newChat(&globalOptions{}, stdio{})
		if err := cmd.ParseFlags(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		err := cmd.PreRunE(cmd, nil)
		if got := fmt.Sprint(err); tt.says == "" && err != nil || !strings.Contains(got, tt.says) {
			t.Errorf("chat %s: %v, want %q", tt.args, err, tt.says)
		}
	}
}

func TestTokenSource(t *testing.T) {
	t.Setenv("A", "token\n")
	if got, err := tokenSource("env:A")(t.Context()); got != "token" || err != nil {
		t.Errorf("env: %q, %v", got, err)
	}
	file := writeFile(t, " old \r\n")
	source := tokenSource("file:" + file)
	for _, want := range []string{"old", "new"} {
		if got, err := source(t.Context()); got != want || err != nil {
			t.Errorf("file: %q, %v, want %q", got, err, want)
		}
		if err := os.WriteFile(file, []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"file:" + file + "x", "file:" + writeFile(t, "\n"), "env:NOT_SET", "eyJhbGciOiJFZERTQSJ9.e30.x"} {
		_, err := tokenSource(bad)(t.Context())
		if exitCode(err) != exitUsage || strings.Contains(fmt.Sprint(err), "eyJ") {
			t.Errorf("%s: %v, exit code %d, want %d", bad, err, exitCode(err), exitUsage)
		}
	}
}

// hints returns what is to be typed after err.
func hints(err error) string {
	var f *fault
	if !errors.As(err, &f) {
		return ""
	}
	return strings.Join(f.hints, "\n")
}

func TestDialFaults(t *testing.T) {
	refused := func(code protocol.Code, after int) error {
		return fmt.Errorf("%w: %w", peer.ErrAuth, &peer.ServerError{Code: code, RetryAfter: after})
	}
	password, token, certificate := &chatOptions{user: "user1"}, &chatOptions{token: "env:A"}, &chatOptions{user: "user1", cert: "f", key: "f"}
	for _, tt := range []struct {
		opts *chatOptions
		err  error
		code int
		hint string
	}{
		{password, refused(protocol.CodeBadCredentials, 0), exitAuth, "sigctl user passwd user1"},
		{password, refused(protocol.CodeRateLimited, 9), exitAuth, "try again in 9 s"},
		{password, refused(protocol.CodeBusy, 0), exitAuth, "try again in a moment"},
		{password, refused(protocol.CodeForbidden, 0), exitAuth, "policy"},
		{password, refused(protocol.CodeAlreadyLoggedIn, 0), exitAuth, "user1 is signed in already"},
		{password, peer.ErrAuth, exitAuth, "--user"},
		{token, refused(protocol.CodeTokenExpired, 0), exitAuth, newTokenHint},
		{token, refused(protocol.CodeTokenReplayed, 0), exitAuth, newTokenHint},
		{token, refused(protocol.CodeAlreadyLoggedIn, 0), exitAuth, "the token's user is signed in already"},
		{token, fmt.Errorf("ask: %w", badFlag("token", "the token is empty")), exitUsage, ""},
		{certificate, refused(protocol.CodeBadCredentials, 0), exitAuth, "sigctl cert client"},
		{password, errors.New("no route to host"), exitNoConnection, "--server"},
		{password, context.Canceled, exitInterrupted, ""},
	} {
		err := tt.opts.dialFault(tt.err)
		if exitCode(err) != tt.code || !strings.Contains(hints(err), tt.hint) {
			t.Errorf("%s, %v: exit code %d, hint %q; want %d, %q", tt.opts.means(), tt.err, exitCode(err), hints(err), tt.code, tt.hint)
		}
	}
}

// A chat whose sign-in could not be renewed ends as one that could not sign in.
func TestEndFault(t *testing.T) {
	token := &chatOptions{token: "env:A"}
	expired := fmt.Errorf("%w: %w", peer.ErrLost, peer.ErrExpired)
	if err := token.endFault(expired); exitCode(err) != exitAuth || hints(err) != newTokenHint {
		t.Errorf("%v: exit code %d, hint %q", err, exitCode(err), hints(err))
	}
	if err := (&chatOptions{user: "user1"}).endFault(expired); exitCode(err) != exitAuth || hints(err) != "" {
		t.Errorf("with a password: %v: exit code %d, hint %q", err, exitCode(err), hints(err))
	}
	for _, other := range []error{nil, peer.ErrLost, peer.ErrOffline} {
		if err := token.endFault(other); err != other {
			t.Errorf("%v became %v", other, err)
		}
	}
}

// roomToken is what `sigctl token` prints.
func (ts *testServer) roomToken(user, room string, ttl time.Duration) string {
	ts.t.Helper()
	var out bytes.Buffer
	err := withServer(ts.t.Context(), ts.opts.global.data, func(c *admin.Client) error {
		opts := &tokenOptions{user: user, room: room, permissions: []string{protocol.PermJoin, protocol.PermData}, ttl: ttl}
		return runToken(ts.t.Context(), opts, c, stdio{out: &out})
	})
	if err != nil {
		ts.t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// accessToken is what a page gets for user1's password.
func (ts *testServer) accessToken() string {
	ts.t.Helper()
	trust, err := (&chatOptions{global: ts.opts.global}).trust()
	if err != nil {
		ts.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer client.CloseIdleConnections()
	resp, err := client.Post(strings.TrimSuffix(ts.pageURL(), "/")+protocol.PathLogin, "application/json",
		strings.NewReader(`{"name":"user1","password":"password1"}`))
	if err != nil {
		ts.t.Fatal(err)
	}
	defer resp.Body.Close()
	var access protocol.AccessToken
	if err := json.NewDecoder(resp.Body).Decode(&access); err != nil || access.Token == "" {
		ts.t.Fatalf("no access token: %v, %v", resp.Status, err)
	}
	return access.Token
}

// chat returns the exit code, and the status and error that a person sees.
func (ts *testServer) chat(args ...string) (code int, status string) {
	ts.t.Helper()
	var out, shown bytes.Buffer
	cmd := newChat(ts.opts.global, stdio{in: strings.NewReader(""), out: &out, err: &shown})
	cmd.SetArgs(append([]string{"--server", ts.signalURL()}, args...))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(ts.t.Context())
	report(&shown, err)
	return exitCode(err), shown.String()
}

// wantChat calls nobody, so exit code 4 means that it has signed in.
func (ts *testServer) wantChat(code int, says string, args ...string) {
	ts.t.Helper()
	got, status := ts.chat(append([]string{"--call", "nobody"}, args...)...)
	if got != code || !strings.Contains(status, says) {
		ts.t.Errorf("chat %q: exit code %d, want %d and %q:\n%s", args, got, code, says, status)
	}
}

// A chat signs in by password, by room token and by access token, and into a room;
// what is refused ends it with 3.
func TestChatSignsIn(t *testing.T) {
	opts := testOptions(t)
	opts.access.policy = writeFile(t, "rules:\n- {users: [user1], rooms: [lobby, team], allow: [join, data]}\n")
	ts := startServer(t, opts)
	t.Setenv("SIGCTL_PASSWORD", "password1")
	ts.wantChat(exitRefused, "Signed in as user1", "--user", "user1")
	ts.wantChat(exitRefused, "Signed in as user1 in room team at", "--user", "user1", "--room", "team")
	ts.wantChat(exitAuth, "hint: the server's policy", "--user", "user1", "--room", "attic")

	token := func(text string) string { return "file:" + writeFile(t, text) }
	room := token(ts.roomToken("carol", "team", time.Minute))
	ts.wantChat(exitRefused, "Signed in as carol in room team", "--token", room)
	ts.wantChat(exitAuth, "hint: "+newTokenHint, "--token", room)
	ts.wantChat(exitAuth, "another room", "--token", token(ts.roomToken("carol", "team", time.Minute)), "--room", "lobby")
	ts.wantChat(exitAuth, "another user", "--token", token(ts.roomToken("carol", "team", time.Minute)), "--user", "user1")
	access := token(ts.accessToken())
	ts.wantChat(exitRefused, "Signed in as user1 in room team", "--token", access, "--room", "team")
	ts.wantChat(exitRefused, "Signed in as user1", "--token", access)
	ts.wantChat(exitAuth, "hint: the server's policy", "--token", access, "--room", "attic")
	ts.wantChat(exitAuth, "hint: "+newTokenHint, "--token", token("an.outside.token"))
	ts.wantChat(exitUsage, "has no NOT_SET", "--token", "env:NOT_SET")
}

// A chat that waits longer than its token lasts ends with 3, and says what to do.
func TestChatTokenExpires(t *testing.T) {
	ts := startServer(t, testOptions(t))
	code, status := ts.chat("--token", "file:"+writeFile(t, ts.roomToken("carol", protocol.Lobby, time.Second)))
	if code != exitAuth || !strings.Contains(status, "has expired") || !strings.Contains(status, "hint: "+newTokenHint) {
		t.Errorf("exit code %d, want %d:\n%s", code, exitAuth, status)
	}
}

// A session lasts longer than its first token, with room tokens that an access
// token gets.
func TestSessionIsRenewed(t *testing.T) {
	ts := startServer(t, testOptions(t))
	trust, err := (&chatOptions{global: ts.opts.global}).trust()
	if err != nil {
		t.Fatal(err)
	}
	tokens := make(chan string, 2)
	tokens <- ts.roomToken("user1", protocol.Lobby, protocol.ExpiryNotice) // to be renewed at once
	tokens <- ts.accessToken()
	renewed := make(chan struct{}, 1)
	client, err := peer.Dial(t.Context(), ts.signalURL(), &peer.Config{
		TLSConfig: trust,
		Token: func(ctx context.Context) (string, error) {
			select {
			case token := <-tokens:
				return token, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
		Logger: slog.New(onMessage{"the sign-in was renewed", func() { wake(renewed) }}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	select {
	case <-renewed:
	case <-client.Done():
		t.Fatalf("the session ended: %v", client.Err())
	}
}

// onMessage is a log that does something when a text is logged.
type onMessage struct {
	text string
	do   func()
}

// Enabled, WithAttrs, WithGroup and Handle implement slog.Handler.
func (onMessage) Enabled(context.Context, slog.Level) bool { return true }
func (h onMessage) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h onMessage) WithGroup(string) slog.Handler          { return h }
func (h onMessage) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.text {
		h.do()
	}
	return nil
}

// A client certificate signs in without a password, as nobody else.
func TestChatWithCertificate(t *testing.T) {
	opts := testOptions(t)
	dir := t.TempDir()
	ca, pair := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "user1.pem")
	err := errors.Join(
		runCertCA(&certOptions{global: opts.global, out: ca, bundle: true}, stdio{}),
		runCertClient(&certOptions{global: opts.global, out: pair}, "dave@example.com", stdio{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	opts.clients.ca, opts.clients.auth = ca, "required"
	ts := startServer(t, opts)
	t.Setenv("SIGCTL_PASSWORD", "password1")
	ts.wantChat(exitRefused, "Signed in as dave@example.com", "--user", "dave@example.com", "--cert", pair, "--key", pair)
	ts.wantChat(exitAuth, "another user's", "--user", "user1", "--cert", pair, "--key", pair)
	ts.wantChat(exitAuth, "hint: the server takes who has a good certificate", "--user", "user1")
	ts.wantChat(exitUsage, "no such file", "--user", "user1", "--cert", pair, "--key", pair+"x")
}
