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

	"github.com/sigctl/sigctl/pkg/user"
)

// crowd is how many clients there are: enough to see a shutdown that waits for each in turn, as it
// then takes longer than shutdownLimit.
const crowd = 100

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
	for n := range crowd {
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

// Not beside other tests: until all are signed in nobody reads, and so answers pings.
func TestShutdownWithCrowd(t *testing.T) {
	for name, sig := range map[string]os.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			s := startCrowded(t)
			clients := s.signInCrowd(t)
			silent, err := net.Dial("tcp", s.addr()) // never speaks TLS
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			s.dial(t) // does not sign in

			codes := make(chan string, crowd)
			for n, c := range clients {
				go func() {
					if n%2 == 1 { // does not read, and so does not answer, before the server has ended
						<-s.done
					}
					code, err := c.closeCode()
					codes <- fmt.Sprint(code, err)
				}()
			}
			asked := s.signal(sig)
			s.wantExit(0)
			took := s.ended.Sub(asked)
			t.Logf("%d clients, ended in %v", crowd, took)
			if took > shutdownLimit {
				t.Errorf("ended in %v, want %v at most", took, shutdownLimit)
			}
			count := map[string]int{}
			for range clients {
				count[<-codes]++
			}
			if count["4000 <nil>"] != crowd {
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
