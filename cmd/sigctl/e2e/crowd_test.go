//go:build integration

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sigctl/sigctl/pkg/user"
)

// crowd and maxDeaf are how many clients there are, and how many of them do not read: enough to see a
// shutdown that waits for each in turn, as it then takes longer than shutdownLimit.
const crowd, maxDeaf = 100, 50

// startCrowded starts a server that knows a crowd of users, whose passwords are
// hashed at the least cost: it is the server that is to be measured. Only this
// goes around the command line.
func startCrowded(t *testing.T) *server {
	t.Helper()
	data := newDataDir(t)
	store, err := user.OpenBolt(filepath.Join(data, "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range crowd + maxDeaf {
		u, err := user.New(member(n), "password", user.MinimalParams)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Add(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return serveIn(t, data, nil)
}

func member(n int) string { return fmt.Sprintf("member%d", n) }

// deafMember is the name of one that signInDeaf signs in.
func deafMember(n int) string { return member(crowd + n) }

// signInCrowd returns a crowd of clients that are signed in.
func (s *server) signInCrowd(t *testing.T) []*tutorialClient {
	t.Helper()
	const atOnce = 32
	clients := make([]*tutorialClient, crowd)
	var signingIn sync.WaitGroup
	for first := range atOnce {
		signingIn.Go(func() {
			for n := first; n < crowd; n += atOnce {
				clients[n] = s.dial(t)
				clients[n].login(member(n), "password", true)
			}
		})
	}
	signingIn.Wait()
	return clients
}

// signInDeaf returns clients that are signed in, and no longer read: they answer nothing, and see only
// at the end what came. It must not take long: a minute later the server gives them up.
func (s *server) signInDeaf(t *testing.T) (deaf []*websocket.Conn) {
	t.Helper()
	for n := range maxDeaf {
		ws := s.dialSocket(t)
		err := ws.WriteJSON(message{"type": "login", "name": deafMember(n), "password": "password"})
		for m := (message{}); err == nil && m["type"] != "login"; {
			err = ws.ReadJSON(&m)
		}
		if err != nil {
			t.Fatalf("%s signs in: %v", deafMember(n), err)
		}
		deaf = append(deaf, ws)
	}
	return deaf
}

// closeCodeOf reads what came until the server closed.
func closeCodeOf(ws *websocket.Conn) (int, error) {
	ws.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return codeOf(err)
		}
	}
}

// descriptors counts what the process has open.
func (p *process) descriptors() int {
	p.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(open)
}

// shutdownLimit is far more than a shutdown takes, which is 2 s at most, on any machine. To wait for
// each client that does not read, one after the other, takes longer. The time is always logged.
const shutdownLimit = 30 * time.Second

// Clients that read, clients that do not, and some that never signed in: all are told, and nothing is left.
func TestShutdownWithCrowd(t *testing.T) {
	for name, sig := range map[string]os.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			s := startCrowded(t)
			clients, deaf := s.signInCrowd(t), s.signInDeaf(t)
			silent, err := net.Dial("tcp", s.addr()) // never speaks TLS
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			s.dial(t) // does not sign in

			asked := s.signal(sig)
			s.wantExit(0)
			took := s.ended.Sub(asked)
			t.Logf("%d clients, ended in %v", len(clients)+len(deaf), took)
			if took > shutdownLimit {
				t.Errorf("ended in %v, want %v at most", took, shutdownLimit)
			}
			count := map[string]int{}
			for _, c := range clients {
				code, err := c.closeCode()
				count[fmt.Sprint(code, err)]++
			}
			for _, ws := range deaf {
				code, err := closeCodeOf(ws)
				count[fmt.Sprint(code, err)]++
			}
			if count["4000 <nil>"] != len(clients)+len(deaf) {
				t.Errorf("close codes %v, want 4000 for all", count)
			}
			s.wantStatus("^Stopped.")
			s.wantNothingLeft()
		})
	}
}

// Who comes and goes leaves nothing open behind, however they go.
func TestCrowdComesAndGoes(t *testing.T) {
	t.Parallel()
	s := startCrowded(t)
	before := s.descriptors()
	for range 2 {
		for n, c := range s.signInCrowd(t) {
			if n%2 == 0 {
				c.send(message{"type": "leave"})
			}
			c.NetConn().Close()
		}
		for range crowd {
			s.wantStatus(`msg="session ended"`)
		}
		until(t, "all descriptors are closed", func() bool { return s.descriptors() <= before })
	}
}
