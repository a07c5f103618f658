//go:build integration

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A server that is killed while users are added through it loses none of whom
// `user add` said that they were added, and the next one starts as if nothing
// had been.
func TestKilledWhileAdding(t *testing.T) {
	t.Parallel()
	const rounds, adders = 2, 4
	data := newDataDir(t)
	var added []string
	for round := range rounds {
		s := serveIn(t, data, nil)
		var mu sync.Mutex
		before := len(added)
		var adding sync.WaitGroup
		for adder := range adders {
			adding.Go(func() {
				for n := 0; ; n++ {
					name := fmt.Sprintf("user-%d-%d-%d", round, adder, n)
					argv := []string{sigctl, "user", "add", name, "--data", data}
					p := start(t, "user add", argv, withInput("password\n"))
					<-p.done
					mu.Lock()
					if p.cmd.ProcessState.Success() {
						added = append(added, name)
						if len(added) == before+2*adders {
							s.cmd.Process.Signal(syscall.SIGKILL) // while the others are at it
						}
					}
					mu.Unlock()
					select {
					case <-s.done:
						return
					default:
					}
				}
			})
		}
		adding.Wait()
	}
	s := serveIn(t, data, nil)
	list := s.sigctl("user", "list")
	list.wantExit(0)
	var listed []string
	for line := range strings.Lines(list.out.all()) {
		name, _, _ := strings.Cut(line, " ")
		listed = append(listed, name)
	}
	t.Logf("%d users were added, %d are there", len(added), len(listed))
	for _, name := range added {
		if !slices.Contains(listed, name) {
			t.Errorf("%s was added, and is lost", name)
		}
	}
	s.passwords[added[0]] = "password"
	s.chat(added[0])
}
