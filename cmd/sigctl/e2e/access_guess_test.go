//go:build integration

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	leastGuesses = 1_000
	freeGuesses  = 10 // of an address, before the first delay
	// mostChecked is how many passwords of one address are checked in an hour: the
	// free ones, and those after 1 s, 2 s, 4 s and so on.
	mostChecked = freeGuesses + 12
	guesser     = "127.0.0.2"
)

// Somebody guesses, at alice's name and at others', over the WebSocket and over
// HTTP, over several connections at once. Hardly any password is even checked, and
// alice, who is elsewhere, does not notice.
func TestGuessing(t *testing.T) {
	t.Parallel()
	s := startServe(t)
	s.add("alice")
	before := s.processorTime()

	g := &guessing{c: s.from(t, guesser)}
	told := g.untilTold()
	if told["code"] != "rate_limited" || !(told["retryAfter"].(float64) > 0) {
		t.Errorf("who has guessed %d times is told %v, want rate_limited and when to come back", freeGuesses, told)
	}

	began := time.Now()
	var guessers sync.WaitGroup
	for n := range 4 {
		guess := g.overHTTP
		if n == 0 {
			guess = g.overWebSocket
		}
		guessers.Go(func() { guess() })
	}
	until(t, "the guessing is well under way", func() bool { return g.made.Load() > leastGuesses/20 })
	alice := s.local(t)
	asked := time.Now()
	alice.accessToken("alice")
	alice.signIn(message{"name": "alice", "password": s.passwords["alice"]})
	t.Logf("meanwhile alice signed in twice in %v", time.Since(asked).Round(time.Millisecond))
	g.enough.Store(true)
	guessers.Wait()
	guesses := int(g.made.Load())
	t.Logf("%d wrong passwords in %v took the server %v of processor time, built for the race detector",
		guesses, time.Since(began).Round(time.Millisecond), s.processorTime()-before)

	s.signal(os.Interrupt) // it then writes how many it has counted
	s.wantExit(0)
	recorded, checked := s.guesses()
	if recorded != guesses {
		t.Errorf("%d wrong passwords are on record, want all %d", recorded, guesses)
	}
	if checked < freeGuesses || checked > mostChecked {
		t.Errorf("%d passwords were checked, want %d to %d", checked, freeGuesses, mostChecked)
	}
	s.wantEvent("login ok user=alice by=password room=lobby")
}

// guessing is somebody who tries passwords: leastGuesses, and then until it is enough.
type guessing struct {
	c      *client
	made   atomic.Int64
	enough atomic.Bool
}

// next returns the name and password to try, or false after the last. The free
// guesses are all at one name, so that it, too, has a delay.
func (g *guessing) next() (message, bool) {
	if g.enough.Load() && g.made.Load() >= leastGuesses {
		return nil, false
	}
	n := g.made.Add(1)
	name := "alice"
	if n > mostChecked && n%2 == 0 {
		name = "nobody" + strconv.FormatInt(n, 10)
	}
	return message{"name": name, "password": fmt.Sprint("guess ", n)}, true
}

// untilTold guesses over both ways in turn until it is told to wait, and checks that
// it is when the free guesses are spent. A machine on which an answer takes more
// than the first delays, which are short, lets some more through.
func (g *guessing) untilTold() message {
	t := g.c.t
	t.Helper()
	ws := g.c.dial()
	defer ws.Close()
	for n := 0; ; n++ {
		guess, _ := g.next()
		var answer message
		if n%2 == 0 {
			answer = ws.tryLogin(guess)
		} else {
			_, answer = g.c.ask("POST", "/api/login", "", guess)
		}
		if n >= freeGuesses && answer["code"] != "bad_credentials" {
			return answer
		}
		if answer["code"] != "bad_credentials" || n >= mostChecked {
			t.Fatalf("guess %d is answered with %v, want bad_credentials %d times", n+1, answer, freeGuesses)
		}
	}
}

func (g *guessing) overHTTP() {
	for guess, more := g.next(); more; guess, more = g.next() {
		status, answer, err := g.c.tryAsk("POST", "/api/login", "", guess)
		if err != nil || status != http.StatusTooManyRequests && answer["code"] != "bad_credentials" {
			g.c.t.Errorf("a wrong password over HTTP: %d %v, %v", status, answer, err)
		}
	}
}

// overWebSocket makes as many guesses on a connection as the server lets it.
func (g *guessing) overWebSocket() {
	const perConnection = 10
	for more := true; more; {
		ws, err := g.c.tryDial()
		if err != nil {
			g.c.t.Errorf("connect to guess: %v", err)
			return
		}
		for n := 0; n < perConnection && more; n++ {
			var guess message
			if guess, more = g.next(); more {
				if reply := ws.tryLogin(guess); reply["success"] != false {
					g.c.t.Errorf("a wrong password over the WebSocket: %v", reply)
				}
			}
		}
		ws.Close()
	}
}

// guesses counts those on record: all, and those of which the password was checked.
func (s *server) guesses() (recorded, checked int) {
	s.t.Helper()
	for _, e := range s.audit() {
		switch {
		case e.Event != "login" || e.Address != guesser:
		case e.Code == "rate_limited":
			recorded += max(1, e.Repeated)
		case e.Code == "bad_credentials":
			recorded++
			checked++
		default:
			s.t.Errorf("a guess is on record as %s (%s)", e, e.Why)
		}
	}
	return recorded, checked
}

// processorTime is what the process has used, in user and system mode together.
func (p *process) processorTime() time.Duration {
	p.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	const utime, stime = 11, 12 // proc(5), counted from the state
	var ticks int
	for _, field := range fields[utime : stime+1] {
		n, err := strconv.Atoi(field)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ is 100 everywhere
}
