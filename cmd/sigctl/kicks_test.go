package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/user"
)

// startPlainServer is a server without TLS.
func startPlainServer(t *testing.T, change func(*serveOptions)) *testServer {
	t.Helper()
	opts := testOptions(t)
	opts.tls = "off"
	if change != nil {
		change(opts)
	}
	return startServer(t, opts)
}

// login opens a WebSocket and returns the answer to a login.
func (ts *testServer) login(name, password string) (ws *websocket.Conn, answer map[string]any) {
	ts.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(ts.signalURL()+"/ws", nil)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { ws.Close() })
	ws.SetReadDeadline(time.Now().Add(patience))
	err = ws.WriteJSON(map[string]string{"type": "login", "name": name, "password": password})
	for answer["type"] != "login" && err == nil { // after hello
		answer = nil
		err = ws.ReadJSON(&answer)
	}
	if err != nil {
		ts.t.Fatal(err)
	}
	return ws, answer
}

// join is a session of a user of --demo.
func (ts *testServer) join(name string) *websocket.Conn {
	ts.t.Helper()
	ws, answer := ts.login(name, demoUsers[name])
	if answer["success"] != true {
		ts.t.Fatalf("%s cannot sign in: %v", name, answer)
	}
	return ws
}

func wantKicked(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, int(protocol.CloseKicked)) {
		t.Errorf("the session ends with %v, want close code %d", err, protocol.CloseKicked)
	}
}

// validate returns the code with which a room token is refused, "" if it is not.
func (ts *testServer) validate(text string) string {
	ts.t.Helper()
	req, err := http.NewRequest("GET", ts.pageURL()+strings.TrimPrefix(protocol.PathValidate, "/"), nil)
	if err != nil {
		ts.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+text)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		ts.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Code string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		ts.t.Fatal(err)
	}
	return answer.Code
}

func (ts *testServer) wantKick(name string) {
	ts.t.Helper()
	if _, err := ts.kick(ts.t.Context(), name); err != nil {
		ts.t.Errorf("kick %s: %v", name, err)
	}
}

// Tokens know seconds alone: one that was issued in that of a kick, or in that in
// which its name came into being, ends with the next kick all the same.
func TestKicksWithinASecond(t *testing.T) {
	ts := startPlainServer(t, nil)
	ts.wantKick("user1")
	for range 2 {
		text := ts.roomToken("user1", protocol.Lobby, time.Minute)
		if code := ts.validate(text); code != "" {
			t.Fatalf("a token from after the kick is refused with %s", code)
		}
		ts.wantKick("user1")
		if code := ts.validate(text); code != "token_expired" {
			t.Errorf("a token from between two kicks is answered with %q, want token_expired", code)
		}
	}
	for n := range 2 {
		name := fmt.Sprint("fresh", n)
		text := ts.roomToken(name, protocol.Lobby, time.Minute)
		ts.wantKick(name)
		if code := ts.validate(text); code != "token_expired" {
			t.Errorf("a token of a name that is new is answered with %q after the kick, want token_expired", code)
		}
	}
}

// hastyStore is a store in which something happens right before a revocation.
type hastyStore struct {
	user.Store
	revoking func()
}

func (s hastyStore) Revoke(ctx context.Context, name string, at time.Time) error {
	s.revoking()
	return s.Store.Revoke(ctx, name, at)
}

// What is issued while a kick is under way is void: what was checked before it is not
// answered, and what comes after is dated before the revocation.
func TestTokenIssuedDuringAKick(t *testing.T) {
	a, err := openTestApp(t, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	var issued token.Claims
	issue := sync.OnceFunc(func() {
		_, issued, err = a.signal.IssueRoomToken(t.Context(), "user1", protocol.Lobby, []string{protocol.PermJoin}, time.Minute)
	})
	a.backing.users = hastyStore{a.backing.users, issue}
	if _, err := a.kick(t.Context(), "user1"); err != nil {
		t.Errorf("kick: %v", err)
	}
	if err != nil || issued.ID == "" {
		t.Fatalf("issue: %+v, %v", issued, err)
	}
	if u, err := a.backing.users.Get(t.Context(), "user1"); err != nil || issued.Issued.After(u.ValidAfter()) {
		t.Errorf("a token of %v is good after the kick: what is void ends at %v, %v", issued.Issued, u.ValidAfter(), err)
	}
}

// allocate reports whether the relay gives an address to who has this credential.
func (ts *testServer) allocate(username, password string) error {
	ts.t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		ts.t.Fatal(err)
	}
	c := ts.relayClient(socket, username, password)
	relayed, err := c.Allocate()
	if err != nil {
		return err
	}
	return relayed.Close()
}

// A kick outlives the server: the relay of the next one refuses what was given out
// before, and nothing else.
func TestKickIsRemembered(t *testing.T) {
	opts := testOptions(t)
	first := startServer(t, opts)
	before := first.secrets.Issue("user1", iceTTL, time.Now())
	other := first.secrets.Issue("user2", iceTTL, time.Now())
	if err := first.allocate(before.Username, before.Password); err != nil {
		t.Fatalf("before the kick: %v", err)
	}
	first.wantKick("user1")
	first.end()

	second := startServer(t, opts)
	if err := second.allocate(before.Username, before.Password); err == nil {
		t.Error("after a restart the relay takes a credential from before the kick")
	}
	if err := second.allocate(other.Username, other.Password); err != nil {
		t.Errorf("a credential of somebody else: %v", err)
	}
	after := second.secrets.Issue("user1", iceTTL, time.Now().Add(2*time.Second)) // as if it were later
	if err := second.allocate(after.Username, after.Password); err != nil {
		t.Errorf("a credential from after the kick: %v", err)
	}
}

// The file of kicks holds what matters still; what is in it keeps no server from
// starting, and no kick from being remembered.
func TestFileOfKicks(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339Nano) }
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"absent", "", []string{"user1"}},
		{"one", `{"user2":"` + in(time.Minute) + `"}`, []string{"user1", "user2"}},
		{"expired", `{"user2":"` + in(-time.Minute) + `"}`, []string{"user1"}},
		{"null", "null", []string{"user1"}},
		{"torn", `{"user2":"20`, []string{"user1"}},
		{"another's", `[1,2]`, []string{"user1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := testOptions(t)
			data, err := openDataDir(opts.global.data)
			if err != nil {
				t.Fatal(err)
			}
			if tt.text != "" {
				if err := os.WriteFile(data.kicks(), []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := openTestApp(t, opts)
			if err != nil {
				t.Fatalf("the server does not start: %v", err)
			}
			defer a.close()
			if _, err := a.kick(t.Context(), "user1"); err != nil {
				t.Errorf("kick: %v", err)
			}
			list, err := data.loadKicks()
			if got := slices.Sorted(maps.Keys(list)); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("the file holds kicks of %v, %v, want %v", got, err, tt.want)
			}
			if info, err := os.Stat(data.kicks()); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file of kicks: %v, %v, want mode 0600", info, err)
			}
		})
	}
}
