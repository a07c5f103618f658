//go:build integration

package e2e

import (
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

// relays reports whether the server's relay takes a credential.
func (s *server) relays(name, password string) bool {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.relay)
	if err != nil || name == "" {
		s.t.Fatalf("no relay at %q, or no credential %q", s.relay, name)
	}
	p := run(s.t, "turnutils_uclient", []string{needProgram(s.t, "turnutils_uclient", "coturn"),
		"-y", "-c", "-m", "2", "-n", "5", "-z", "5", "-p", port, "-u", name, "-w", password, host})
	return strings.Contains(p.out.all()+p.err.all(), "tot_recv_msgs=10")
}

// allocate holds an address of the relay until the test ends.
func (s *server) allocate(name, password string) (address string) {
	s.t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { socket.Close() })
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: s.relay, Conn: socket, Username: name, Password: password, LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		s.t.Fatal(err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		s.t.Fatalf("allocate: %v", err)
	}
	return relayed.LocalAddr().String()
}

// A kick during a relayed call ends all that the user has, and voids all that the
// user was given until then.
func TestKick(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--demo", "--turn-old-channels") // as uclient picks them
	c := s.local(t)
	access := c.accessToken("user2")
	joined := c.want("POST", "/api/rooms/join", access, message{})
	oldName, oldPassword := turnCredential(joined)
	if !s.relays(oldName, oldPassword) {
		t.Fatal("the relay does not take the credential before the kick")
	}
	held := s.allocate(oldName, oldPassword) // a client that does not give it up by itself, as chat does

	user1 := s.chat("user1", "--relay")
	user2 := s.chat("user2", "--relay", "--call", "user1")
	user1.wantPath("relay")
	user2.wantPath("relay")
	s.wantListed("list", `user1 +lobby +127\.0\.0\.1 .*`, `user2 +lobby +127\.0\.0\.1 .*`)
	s.wantListed("rooms", `lobby +2 +- +all`)

	kick := s.sigctl("session", "kick", "user2")
	kick.wantExit(0)
	said := regexp.MustCompile(`^user2: the session has ended, relayed paths closed: [2-9], `)
	if !said.MatchString(kick.out.all()) {
		t.Errorf("kick says %q, want a match of %s", kick.out.all(), said)
	}
	if socket, err := net.ListenPacket("udp", held); err != nil {
		t.Errorf("the relay still has an address of user2: %v", err)
	} else {
		socket.Close()
	}
	c.wantCode("token_expired", "GET", "/api/rooms/join", access, nil)
	c.wantCode("token_expired", "POST", "/api/ice", text(joined, "token"), nil)
	c.wantRefused("token_expired", message{"token": text(joined, "token")})
	if s.relays(oldName, oldPassword) {
		t.Error("the relay takes a credential from before the kick")
	}
	s.wantListed("list", `user1 +lobby .*`)

	access = c.accessToken("user2")
	if !s.relays(turnCredential(c.want("POST", "/api/rooms/join", access, message{}))) {
		t.Error("the relay does not take a credential from after the kick")
	}
	again, _ := c.signIn(message{"token": c.roomToken(access, "")})
	s.sigctl("session", "kick", "user2").wantExit(0)
	again.wantClose(4501)
	s.sigctl("session", "kick", "nobody").wantExit(1)
}

// wantListed checks the lines of session list or rooms, without their head.
func (s *server) wantListed(what string, want ...string) {
	s.t.Helper()
	p := s.sigctl("session", what)
	p.wantExit(0)
	_, lines, _ := strings.Cut(p.out.all(), "\n")
	if pattern := "^" + strings.Join(want, "\n") + "\n$"; !regexp.MustCompile(pattern).MatchString(lines) {
		s.t.Errorf("session %s prints\n%s\nwant a match of %s", what, p.out.all(), pattern)
	}
}
