package audit

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const home, homeToo, office = "2001:db8::1", "2001:db8::2", "192.0.2.1"

// floodedLog is a Log in a bubble of testing/synctest.
type floodedLog struct {
	*testing.T
	*Log
	w *writer
}

func underFlood(t *testing.T, test func(*floodedLog)) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{room: 1 << 30}
		fl := &floodedLog{t, New(w), w}
		test(fl)
		if err := fl.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// refuse records that alice was too fast.
func (fl *floodedLog) refuse(times int, kind Kind, addr string) {
	fl.Helper()
	e := Event{Kind: kind, Code: protocol.CodeRateLimited, User: "alice"}
	if addr != "" {
		e.Address = netip.MustParseAddr(addr)
	}
	for range times {
		if err := fl.Record(e); err != nil {
			fl.Errorf("record %s from %s: %v", kind, addr, err)
		}
	}
}

// want checks what was written since it was called last, in any order: what, from where, who and how often.
func (fl *floodedLog) want(want ...string) {
	fl.Helper()
	synctest.Wait()
	var got []string
	for _, e := range events(fl.T, fl.w.take()) {
		got = append(got, fmt.Sprintf("%s %s %s %d", e.Kind, e.Address, e.User, e.Repeated))
		if e.Code != protocol.CodeRateLimited || e.Outcome != OutcomeRefused {
			fl.Errorf("got code %s, outcome %s, want %s, %s", e.Code, e.Outcome, protocol.CodeRateLimited, OutcomeRefused)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		fl.Errorf("got %q, want %q", got, want)
	}
}

func TestFlood(t *testing.T) {
	underFlood(t, func(fl *floodedLog) {
		fl.refuse(1, TokenReplayed, office) // remains alone
		fl.refuse(1000, Login, home)
		fl.refuse(1000, Login, homeToo)
		fl.refuse(2, Login, office)
		fl.refuse(3, TokenReplayed, home)
		fl.refuse(3, Refused, home) // by a user who is known
		fl.refuse(3, Refused, office)
		fl.want("token_replayed "+office+" alice 0", "login "+home+" alice 0", "login "+office+" alice 0",
			"token_replayed "+home+" alice 0", "refused "+home+" alice 0")
		time.Sleep(time.Minute - time.Nanosecond)
		fl.refuse(1, Login, home)
		fl.want()
		time.Sleep(time.Nanosecond)
		fl.want("login "+home+"  2000", "login "+office+"  1", "token_replayed "+home+"  2", "refused "+home+" alice 5")
		time.Sleep(time.Hour)
		fl.want()

		fl.refuse(5, Login, home)
		fl.want("login " + home + " alice 0")
		if err := fl.Close(); err != nil {
			t.Error(err)
		}
		fl.want("login " + home + "  4")
	})
}

// linesOf returns how many lines were written since, and how many events they stand for.
func (fl *floodedLog) linesOf(match func(Event) bool) (lines, stand int) {
	fl.Helper()
	synctest.Wait()
	for _, e := range events(fl.T, fl.w.take()) {
		if match(e) {
			lines++
			stand += max(e.Repeated, 1)
		}
	}
	return lines, stand
}

func all(Event) bool { return true }

// TestFloodOfAnyKind: whatever a client causes, again and again, the rest of the log stays, what is
// not written is counted, and the same events of others are lines of their own.
func TestFloodOfAnyKind(t *testing.T) {
	const times = 3600
	mallory, alice := netip.MustParseAddr(home), netip.MustParseAddr(office)
	for _, e := range []Event{
		{Kind: Login}, {Kind: Login, Message: "refresh"}, {Kind: Join}, {Kind: SessionEnd}, {Kind: TokenIssued}, {Kind: Allocation},
		{Kind: Login, Code: protocol.CodeBadCredentials, Source: "password"},
		{Kind: Login, Code: protocol.CodeBadCredentials, Source: "certificate"},
		{Kind: Login, Code: protocol.CodeAlreadyLoggedIn},
		{Kind: Refused, Code: protocol.CodeForbidden},
		{Kind: TokenRefused, Code: protocol.CodeBadCredentials},
		{Kind: TokenReplayed, Code: protocol.CodeTokenReplayed},
	} {
		t.Run(string(e.Kind)+" "+string(e.Code), func(t *testing.T) {
			underFlood(t, func(fl *floodedLog) {
				for i := range times { // 10 a second
					time.Sleep(100 * time.Millisecond)
					e.User, e.Address = "mallory", mallory
					fl.Record(e)
					if e.User, e.Address = "alice", alice; i%100 == 0 {
						fl.Record(e)
					}
				}
				fl.Close()
				text := fl.w.take()
				lines, sum := map[string]int{}, 0
				for _, got := range events(t, text) {
					lines[got.Address.String()]++
					sum += max(got.Repeated, 1)
				}
				// 100 at once, then one a second, and two a minute of the flood
				if most := 100 + times/10 + 2*(times/600+1); lines[home] > most || lines[office] != times/100 || sum != times+times/100 {
					t.Errorf("%v lines stand for %d events, want at most %d from %s, %d from %s, for %d",
						lines, sum, most, home, times/100, office, times+times/100)
				}
			})
		})
	}
}

// TestFloodInAnothersName: a stranger who claims a name does not use up the lines of whoever has it.
func TestFloodInAnothersName(t *testing.T) {
	underFlood(t, func(fl *floodedLog) {
		guess := Event{Kind: Login, Code: protocol.CodeBadCredentials, User: "alice", Address: netip.MustParseAddr(home)}
		for range 1000 {
			fl.Record(guess)
		}
		fl.w.take()
		guess.Address = netip.MustParseAddr(office)
		fl.Record(guess)
		fl.Record(Event{Kind: Login, User: "alice", Address: netip.MustParseAddr(home)})
		if lines, _ := fl.linesOf(all); lines != 2 {
			t.Errorf("%d lines, want those of alice's own two sign-ins", lines)
		}
	})
}

// TestFloodOfManyStrangers: guesses from so many addresses that each has few are bounded in all.
func TestFloodOfManyStrangers(t *testing.T) {
	const groups = 20_000
	underFlood(t, func(fl *floodedLog) {
		addr := netip.MustParseAddr("2001:db8::").As16()
		for i := range groups {
			addr[4], addr[5], addr[6] = byte(i>>16), byte(i>>8), byte(i)
			for _, code := range []protocol.Code{protocol.CodeBadCredentials, protocol.CodeRateLimited} {
				fl.Record(Event{Kind: Login, Code: code, User: "alice", Source: "password", Address: netip.AddrFrom16(addr)})
			}
		}
		for range groups { // what the operator does is always written
			fl.Record(Event{Kind: Admin, Actor: "admin", User: "alice"})
			fl.Record(Event{Kind: TokenIssued, Actor: "admin", User: "alice"})
		}
		fl.Record(Event{Kind: Login, User: "alice", Source: "password", Address: netip.AddrFrom16(addr)})
		text := fl.w.take()
		time.Sleep(time.Minute)
		synctest.Wait()
		text = append(text, fl.w.take()...)
		lines, sums := map[protocol.Code]int{}, map[protocol.Code]int{}
		for _, e := range events(t, text) {
			lines[e.Code]++
			sums[e.Code] += max(e.Repeated, 1)
		}
		const most = 2 * 1001 // a line, and perhaps a count, of each of a thousand and of the rest
		if n := lines[protocol.CodeBadCredentials]; n > most || sums[protocol.CodeBadCredentials] != groups {
			t.Errorf("%d lines stand for %d guesses, want at most %d for %d", n, sums[protocol.CodeBadCredentials], most, groups)
		}
		if n := lines[protocol.CodeRateLimited]; n > most || sums[protocol.CodeRateLimited] != groups {
			t.Errorf("%d lines stand for %d refusals, want at most %d for %d", n, sums[protocol.CodeRateLimited], most, groups)
		}
		if lines[""] != 2*groups+1 {
			t.Errorf("%d lines of the operator and of alice's sign-in, want %d", lines[""], 2*groups+1)
		}
	})
}

// TestFloodBounded: so many floods are counted apart in a minute, even of known users.
func TestFloodBounded(t *testing.T) {
	const users = 10_000
	underFlood(t, func(fl *floodedLog) {
		for i := range users {
			fl.Record(Event{Kind: Refused, Code: protocol.CodeRateLimited, User: fmt.Sprint("user", i)})
		}
		if most := maxFloods + 1; len(fl.floods) != most {
			t.Errorf("%d floods are counted, want %d", len(fl.floods), most)
		}
		if lines, _ := fl.linesOf(all); lines != maxFloods+1 {
			t.Errorf("%d events are written at once, want %d", lines, maxFloods+1)
		}
		time.Sleep(time.Minute)
		fl.want(fmt.Sprintf("refused invalid IP  %d", users-maxFloods-1))
	})
}

// TestFloodFails: repetitions that could not be written are tried again, and not lost.
func TestFloodFails(t *testing.T) {
	underFlood(t, func(fl *floodedLog) {
		fl.refuse(3, Login, home)
		fl.refuse(3, Login, office)
		fl.want("login "+home+" alice 0", "login "+office+" alice 0")
		fl.w.setRoom(0)
		time.Sleep(time.Minute)
		fl.want()
		fl.refuse(1, Login, home)
		fl.w.setRoom(1 << 30)
		time.Sleep(time.Minute)
		fl.want("login "+home+"  3", "login "+office+"  2")

		fl.refuse(2, Login, home)
		fl.w.setRoom(0)
		if err := fl.Close(); !errors.Is(err, errFull) {
			t.Errorf("Close: %v, want %v", err, errFull)
		}
	})
	// Nor are those written again that could be.
	underFlood(t, func(fl *floodedLog) {
		fl.refuse(2, Login, "192.0.2.1")
		fl.refuse(2, Login, "192.0.2.2")
		fl.w.take()
		line, _ := encode(Event{Kind: Login, Code: protocol.CodeRateLimited, Address: netip.MustParseAddr("192.0.2.1"), Repeated: 1})
		fl.w.setRoom(len(line)) // for one of them
		time.Sleep(time.Minute)
		fl.w.setRoom(1 << 30)
		time.Sleep(time.Minute)
		fl.want("login 192.0.2.1  1", "login 192.0.2.2  1")
	})
	// A first one that could not be written is no reason to count the next.
	underFlood(t, func(fl *floodedLog) {
		fl.w.setRoom(0)
		if err := fl.Record(Event{Kind: Login, Code: protocol.CodeRateLimited}); !errors.Is(err, errFull) {
			t.Errorf("Record: %v, want %v", err, errFull)
		}
		fl.w.setRoom(1 << 30)
		fl.refuse(2, Login, "")
		fl.want("login invalid IP alice 0")
	})
}
