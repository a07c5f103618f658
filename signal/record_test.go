package signal

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// However much a stranger is refused, what is refused to others from the same
// address, and every guess at a password, is written down, and answered as ever.
func TestJunkHidesNothing(t *testing.T) {
	as := newAccessServer(t)
	spent := as.roomToken("user2", "team")
	as.loginWith(spent).want(`{"success":true}`)
	watcher := as.joinRoom("user4", "team")
	for range 150 {
		as.do("GET", protocol.PathJoin, "eyJ.e30.c2ln", "")
	}
	for range 15 {
		c := as.connect("junk")
		for range 10 {
			c.send(`{"type":"login","token":"eyJ.e30.c2ln"}`)
			c.want(`{"type":"login","code":"bad_credentials"}`)
		}
		c.ws.Close()
	}
	as.audit.take(t)

	for range 2 { // the first of a flood would be written in any case
		c := as.connect("guess")
		c.send(`{"type":"login","name":"user1","password":"guess"}`)
		c.want(`{"type":"login","code":"bad_credentials"}`)
		as.loginWith(spent).want(`{"type":"login","code":"token_replayed"}`)
		watcher.send(`{"type":"offer","name":"user2","offer":{"type":"offer","sdp":"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"}}`)
		watcher.wantError("forbidden", "publish")
	}
	type line struct {
		kind audit.Kind
		code protocol.Code
		user string
	}
	got := map[line]int{}
	for _, e := range as.audit.take(t) {
		got[line{e.Kind, e.Code, e.User}]++
	}
	for _, want := range []line{
		{audit.Login, protocol.CodeBadCredentials, "user1"},
		{audit.TokenReplayed, protocol.CodeTokenReplayed, "user2"},
		{audit.Refused, protocol.CodeForbidden, "user4"},
	} {
		if got[want] != 2 {
			t.Errorf("audit holds %v, want %v twice", got, want)
		}
	}
}

// A user who asks for tokens again and again does not push the rest out of the audit log: what is
// beyond a burst is counted, and another user's token still has a line.
func TestTokensFillNoLog(t *testing.T) {
	as := newAccessServer(t)
	greedy, other := as.access("user1"), as.access("user2")
	as.audit.take(t)
	began := time.Now()
	const tokens = 180
	for range tokens {
		as.tokenOf("GET", protocol.PathJoin+"?room=team", greedy, "")
	}
	as.tokenOf("GET", protocol.PathJoin+"?room=team", other, "")
	most := 101 + 1 + int(time.Since(began).Seconds())
	as.log.Close() // writes the counts
	lines, sum := map[string]int{}, 0
	for _, e := range as.audit.take(t) {
		if e.Kind == audit.TokenIssued {
			lines[e.User]++
			sum += max(e.Repeated, 1)
		}
	}
	if lines["user1"] > most+1 || lines["user2"] != 1 || sum != tokens+1 {
		t.Errorf("%v lines stand for %d tokens, want at most %d of user1 and one of user2, for %d", lines, sum, most+1, tokens+1)
	}
}

// A guess is written down although the connection closed before the answer.
func TestRefusedWhileClosing(t *testing.T) {
	as, m := newInterruptedServer(t)
	c := as.connect("hasty")
	as.audit.take(t)
	m.during(func() {
		for i := range slots {
			as.conns.each(i, func(c *conn) { c.shutdown(protocol.CloseNotAuthenticated, "no login in time") })
		}
	})
	c.send(`{"type":"login","name":"user1","password":"guess"}`)
	c.wantClose(int(protocol.CloseNotAuthenticated))
	as.stop()
	events := as.audit.take(t)
	if len(events) != 1 || events[0].Kind != audit.Login || events[0].Code != protocol.CodeBadCredentials || events[0].User != "user1" {
		t.Errorf("audit holds %+v, want the refused login", events)
	}
}

// full is an audit file whose disk is full from some moment on.
type full struct {
	lines
	now atomic.Bool
}

func (f *full) Write(p []byte) (int, error) {
	if f.now.Load() {
		return 0, errors.New("no space left on device")
	}
	return f.lines.Write(p)
}

// What cannot be written down is not granted. What takes a right away is done all the
// same.
func TestAuditLogThatCannotBeWritten(t *testing.T) {
	as := newAccessServer(t)
	var disk full
	var said lines
	log := audit.New(&disk)
	t.Cleanup(func() { log.Close() })
	as.restartWith(func(cfg *Config) {
		cfg.Audit, cfg.Logger = log, slog.New(slog.NewTextHandler(&said, nil))
	})
	access, room, next := as.access("user1"), as.roomToken("user2", "team"), as.roomToken("user3", "team")
	in := as.joinRoom("user3", "team")
	disk.now.Store(true)

	c := as.connect("user1")
	c.send(`{"type":"login","name":"user1","password":"password1"}`)
	c.want(`{"type":"login","success":false,"code":"internal"}`)
	as.loginWith(room).want(`{"type":"login","success":false,"code":"internal"}`)
	for _, r := range []struct{ path, bearer, body string }{
		{protocol.PathLogin, "", `{"name":"user1","password":"password1"}`},
		{protocol.PathJoin, access, ""},
	} {
		if status, answer := as.do("POST", r.path, r.bearer, r.body); status != 500 || answer["code"] != "internal" || answer["token"] != nil {
			t.Errorf("POST %s = %d %v, want 500 internal", r.path, status, answer)
		}
	}
	in.send(`{"type":"refresh","token":"` + next + `"}`)
	in.want(`{"type":"error","code":"internal"}`)
	if text, _, err := as.IssueRoomToken(t.Context(), "user1", "team", []string{protocol.PermJoin}, time.Minute); err == nil {
		t.Errorf("IssueRoomToken = %q, want an error", text)
	}
	if list := as.List(); len(list) != 1 || list[0].User != "user3" {
		t.Errorf("there are sessions %+v, want that of user3", list)
	}
	as.kick("user3")
	in.wantClose(int(protocol.CloseKicked))
	as.stop()
	said.mu.Lock()
	defer said.mu.Unlock()
	for _, event := range []audit.Kind{audit.Login, audit.TokenIssued, audit.Kick, audit.SessionEnd} {
		if want := `msg="audit record is not written" event=` + string(event) + ` `; !strings.Contains(said.text.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

// Logins that cannot be written down take no place from others: the connection counts as one that
// has not signed in until a login on it succeeds.
func TestFailedAuditTakesNoPlace(t *testing.T) {
	var disk full
	log := audit.New(&disk)
	t.Cleanup(func() { log.Close() })
	ts := newTestServer(t, &Config{MaxSessions: 1, Audit: log, Logger: slog.New(slog.DiscardHandler)})
	c := ts.connect("user1")
	login := `{"type":"login","name":"user1","password":"password1"}`
	disk.now.Store(true)
	for range 3 {
		c.send(login)
		c.want(`{"type":"login","success":false,"code":"internal"}`)
	}
	if n := ts.Stats().Pending; n != 1 {
		t.Errorf("%d connections have not signed in, want 1", n)
	}
	disk.now.Store(false)
	c.send(login)
	c.want(`{"type":"login","success":true}`)
	if n := ts.Stats().Pending; n != 0 {
		t.Errorf("%d connections have not signed in after the login, want 0", n)
	}
	ts.stop()
	if n := ts.admission.admitted; n != 0 {
		t.Errorf("%d connections still count as signed in after the end", n)
	}
}

// Each session's end is written down once, with how it ended.
func TestSessionEndIsWrittenDown(t *testing.T) {
	as := newAccessServer(t)
	left, kicked, stays := as.joinRoom("user1", "team"), as.joinRoom("user2", "team"), as.joinRoom("user3", "team")
	as.connect("nobody").ws.Close() // has no session
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := left.ws.WriteMessage(websocket.CloseMessage, bye); err != nil {
		t.Fatal(err)
	}
	left.wantClose(websocket.CloseNormalClosure)
	as.kick("user2")
	kicked.wantClose(int(protocol.CloseKicked))
	stays.wantAlive()
	as.stop()
	began, ended := map[string]string{}, map[string]string{}
	for _, e := range as.audit.take(t) {
		switch {
		case e.Kind == audit.Join:
			began[e.User] = e.Session
		case e.Kind == audit.SessionEnd && (e.Session != began[e.User] || e.Room != "team" || ended[e.User] != ""):
			t.Errorf("audit holds %+v, of session %s, which ended as %q before", e, began[e.User], ended[e.User])
		case e.Kind == audit.SessionEnd:
			ended[e.User] = e.Why
		}
	}
	for name, want := range map[string]string{"user1": "normal", "user2": "kicked", "user3": "draining"} {
		if ended[name] != want {
			t.Errorf("the session of %s ended as %q, want %q", name, ended[name], want)
		}
	}
}
