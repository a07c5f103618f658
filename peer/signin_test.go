package peer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	askLogin = "POST " + protocol.PathLogin
	askJoin  = "POST " + protocol.PathJoin
)

func inRoom(room string) func(*Config)       { return func(c *Config) { c.Room = room } }
func withToken(t TokenSource) func(*Config)  { return func(c *Config) { c.Password, c.Token = "", t } }
func withPassword(word string) func(*Config) { return func(c *Config) { c.Password = word } }

// tryJoin is join for a sign-in that should fail.
func (s *fakeServer) tryJoin(name string, options ...func(*Config)) error {
	s.t.Helper()
	cfg := &Config{User: name, Password: "password"}
	for _, option := range options {
		option(cfg)
	}
	c, err := Dial(testContext(s.t), s.url(), cfg)
	if err == nil {
		c.Close()
	}
	return err
}

func wantCode(t *testing.T, err error, code protocol.Code) {
	t.Helper()
	var refused *ServerError
	if !errors.Is(err, ErrAuth) || !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("%v, want a sign-in refused with %s", err, code)
	}
}

func (s *fakeServer) wantAsked(want ...string) {
	s.t.Helper()
	if got := s.api.asked(); !slices.Equal(got, want) {
		s.t.Errorf("requests %q, want %q", got, want)
	}
}

// A password becomes an access token and that a room token; the server keeps no
// connection of the two requests.
func TestPasswordBecomesToken(t *testing.T) {
	closed := make(chan struct{}, 8)
	s := newFakeServer(t, func(hs *httptest.Server) {
		hs.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		}
	})
	var logged bytes.Buffer
	alice := s.join("alice", inRoom("team"), func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	<-closed
	s.wantAsked(askLogin, askJoin)
	if alice.User() != "alice" || alice.Room() != "team" {
		t.Errorf("signed in as %q in %q", alice.User(), alice.Room())
	}
	if bob := s.join("bob"); bob.Room() != protocol.Lobby {
		t.Errorf("without a room: %q", bob.Room())
	}
	alice.Close()
	for _, secret := range append(s.api.secrets, "password") {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// A server that speaks the plain form of the protocol has no HTTP API.
func TestPasswordWithoutAPI(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusUpgradeRequired} {
		s := newFakeServer(t)
		s.api.instead = func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "what?", status)
			return true
		}
		if alice := s.join("alice"); alice.Room() != protocol.Lobby {
			t.Errorf("%d: in room %q", status, alice.Room())
		}
		s.wantAsked(askLogin)
		wantCode(t, s.tryJoin("bob", withPassword("wrong")), protocol.CodeBadCredentials)
		if err := s.tryJoin("bob", withToken(StaticToken("outside:bob"))); !errors.Is(err, errNoAPI) {
			t.Errorf("%d: with a token that is no room token: %v", status, err)
		}
	}
}

// A server that has no rooms does not pass for one that has.
func TestNoRooms(t *testing.T) {
	s := newFakeServer(t)
	s.grant = func(reply *protocol.LoginReply) { reply.Room = "" }
	if err := s.tryJoin("alice", inRoom("team")); !errors.Is(err, ErrAuth) {
		t.Errorf("Dial: %v, want %v", err, ErrAuth)
	}
}

func TestSignInRefused(t *testing.T) {
	tests := []struct {
		path   string
		status int
		code   protocol.Code
	}{
		{protocol.PathLogin, 401, protocol.CodeBadCredentials},
		{protocol.PathLogin, 429, protocol.CodeRateLimited},
		{protocol.PathLogin, 503, protocol.CodeBusy},
		{protocol.PathLogin, 400, protocol.CodeBadMessage},
		{protocol.PathLogin, 404, protocol.CodeInternal}, // ours, so there is an API
		{protocol.PathJoin, 401, protocol.CodeTokenExpired},
		{protocol.PathJoin, 403, protocol.CodeForbidden},
	}
	for _, tt := range tests {
		s := newFakeServer(t)
		s.api.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != tt.path {
				return false
			}
			refuseHTTP(w, tt.status, protocol.Error{Code: tt.code, Message: "no", RetryAfter: 7})
			return true
		}
		err := s.tryJoin("alice")
		wantCode(t, err, tt.code)
		var refused *ServerError
		if errors.As(err, &refused) && refused.RetryAfter != 7 {
			t.Errorf("%s: retry after %d s, want 7", tt.code, refused.RetryAfter)
		}
	}
}

// What is not an answer of the API is no sign-in, nor a reason to send the password
// once more.
func TestStrangeAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed to %s", r.URL)
	}))
	defer elsewhere.Close()
	long := strings.Repeat("x", protocol.MaxTokenLen+1)
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		says   string
	}{
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "307"},
		{"too large", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, maxAnswer+1)) }, "larger than 65536 bytes"},
		{"large headers", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat(long, 3)) }, "exceeded"},
		{"gateway", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, "502"},
		{"a page", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }, "decode"},
		{"no token", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("{}")) }, "empty"},
		{"long token", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"token":"` + long + `"}`)) }, "longer than 8192"},
		{"broken off", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	}
	for _, tt := range tests {
		s := newFakeServer(t)
		s.api.instead = func(w http.ResponseWriter, r *http.Request) bool { tt.answer(w, r); return true }
		err := s.tryJoin("alice")
		if err == nil || errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", tt.name, err, tt.says)
		}
		if err != nil && strings.Contains(err.Error(), long) {
			t.Errorf("%s: the error is the answer", tt.name)
		}
		s.wantAsked(askLogin)
	}
}

func TestTokens(t *testing.T) {
	s := newFakeServer(t)
	room := s.api.roomToken("alice", "team")
	alice := s.join("", withToken(StaticToken(room)))
	if alice.User() != "alice" || alice.Room() != "team" {
		t.Errorf("with a room token: signed in as %q in %q", alice.User(), alice.Room())
	}
	s.wantAsked()
	wantCode(t, s.tryJoin("alice", withToken(StaticToken(room))), protocol.CodeTokenReplayed)

	bob := s.join("", withToken(StaticToken("outside:bob")), inRoom("team"))
	if bob.User() != "bob" || bob.Room() != "team" {
		t.Errorf("with an outside token: signed in as %q in %q", bob.User(), bob.Room())
	}
	s.wantAsked(askJoin)

	refused := []struct {
		name   string
		option func(*Config)
	}{
		{"another's token", withToken(StaticToken(s.api.roomToken("bob", "")))},
		{"token of another room", func(c *Config) {
			c.Room = "team"
			withToken(StaticToken(s.api.roomToken("carol", "")))(c)
		}},
		{"bad access token", withToken(StaticToken("nobody's"))},
	}
	for _, tt := range refused {
		if err := s.tryJoin("carol", tt.option); !errors.Is(err, ErrAuth) {
			t.Errorf("%s: %v, want %v", tt.name, err, ErrAuth)
		}
	}
}

func TestTokenSourceFails(t *testing.T) {
	s := newFakeServer(t)
	fault := errors.New("no such file")
	if err := s.tryJoin("alice", withToken(func(context.Context) (string, error) { return "", fault })); !errors.Is(err, fault) {
		t.Errorf("Dial: %v, want %v", err, fault)
	}
	for _, bad := range []string{"", strings.Repeat("x", protocol.MaxTokenLen+1), "two\nlines"} {
		if s.tryJoin("alice", withToken(StaticToken(bad))) == nil {
			t.Errorf("signed in with a token of %d bytes", len(bad))
		}
	}
	s.wantAsked()
}

func TestSignInConfig(t *testing.T) {
	some := StaticToken("x")
	for _, tt := range []struct {
		config Config
		says   string
	}{
		{Config{}, "Config.User"},
		{Config{User: "a b", Token: some}, "Config.User"},
		{Config{User: "a", Room: "a b"}, "Config.Room"},
		{Config{User: "a", Password: "b", Token: some}, "Config.Password"},
		{Config{Token: some}, ""},
	} {
		_, _, err := tt.config.withDefaults("wss://localhost")
		if got := fmt.Sprint(err); tt.says == "" && err != nil || !strings.Contains(got, tt.says) {
			t.Errorf("%+v: %v, want an error that names %q", tt.config, err, tt.says)
		}
	}
}

func TestIsRoomToken(t *testing.T) {
	const room, access = "eyJ0eXAiOiJyb29tK2p3dCJ9", "eyJ0eXAiOiJhdCtqd3QifQ"
	for token, want := range map[string]bool{
		room + ".e30.x": true, room: true,
		access + ".e30.x": false, "": false, ".": false, "opaque": false, "e30.e30.": false,
		"eyJ0eXAiOjF9.e30.x": false, "bnVsbA.e30.x": false, "\xff." + room: false,
	} {
		if got := isRoomToken(token); got != want {
			t.Errorf("isRoomToken(%q) = %v, want %v", token, got, want)
		}
	}
}

// A client certificate signs in by itself, but not beside a password or token.
func TestCertificateSignsIn(t *testing.T) {
	s := newFakeServer(t, func(hs *httptest.Server) {
		hs.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		hs.Config.ErrorLog = log.New(io.Discard, "", 0)
	})
	trust := s.http.Client().Transport.(*http.Transport).TLSClientConfig
	proved := trust.Clone()
	proved.Certificates = []tls.Certificate{clientCertificate(t, "alice")}
	secure := func(settings *tls.Config, password string) func(*Config) {
		return func(c *Config) { c.TLSConfig, c.Password = settings, password }
	}
	if alice := s.join("", secure(proved, "")); alice.User() != "alice" {
		t.Errorf("signed in as %q, want alice", alice.User())
	}
	s.wantAsked()
	s.join("bob", secure(proved, "password"))
	s.wantAsked(askLogin, askJoin)
	if err := s.tryJoin("carol", secure(proved, "")); !errors.Is(err, ErrAuth) {
		t.Errorf("as another than the certificate says: %v, want %v", err, ErrAuth)
	}
	s.wantAsked()
	wantCode(t, s.tryJoin("alice", secure(trust, "")), protocol.CodeBadCredentials)
	var unknown *tls.CertificateVerificationError
	if err := s.tryJoin("alice"); !errors.As(err, &unknown) {
		t.Errorf("from a server that is not trusted: %v, want %T", err, unknown)
	}
}

func clientCertificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotAfter:     time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}
}

// A room whose policy is relay needs one, and then uses nothing else.
func TestRoomOfRelays(t *testing.T) {
	none, one := newFakeServer(t), newFakeServer(t)
	policy := func(reply *protocol.LoginReply) { reply.ICETransportPolicy = protocol.ICERelay }
	none.grant, one.grant = policy, policy
	if _, err := none.join("alice").Call(testContext(t), "bob"); !errors.Is(err, errNoRelay) {
		t.Errorf("without a relay: %v, want %v", err, errNoRelay)
	}
	one.ice = []protocol.ICEServer{startRelay(t)}
	one.tamper = func(from, _ string, m protocol.Forwarded) protocol.Forwarded {
		for _, line := range candidatesIn(m) {
			if got := candidateType(line); got != webrtc.ICECandidateTypeRelay.String() {
				t.Errorf("%s gave a candidate of type %s", from, got)
			}
		}
		return m
	}
	call, callee := connect(t, one.join("alice"), one.join("bob"))
	wantChat(t, call, callee)
}
