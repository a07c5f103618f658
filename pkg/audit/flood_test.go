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
		fl.refuse(1, Login, office) // remains alone
		fl.refuse(1000, Refused, home)
		fl.refuse(1000, Refused, homeToo)
		fl.refuse(2, Refused, office)
		fl.refuse(3, Login, home)
		fl.want("login "+office+" alice 0", "refused "+home+" alice 0", "refused "+office+" alice 0", "login "+home+" alice 0")
		time.Sleep(time.Minute - time.Nanosecond)
		fl.refuse(1, Refused, home)
		fl.want()
		time.Sleep(time.Nanosecond)
		fl.want("refused "+home+"  2000", "refused "+office+"  1", "login "+home+"  2")
		time.Sleep(time.Hour)
		fl.want()

		fl.refuse(5, Refused, home)
		fl.want("refused " + home + " alice 0")
		if err := fl.Close(); err != nil {
			t.Error(err)
		}
		fl.want("refused " + home + "  4")
	})
}

// TestFloodOfOthers: what is not refused for being too fast is written, whoever does it and how often.
func TestFloodOfOthers(t *testing.T) {
	underFlood(t, func(fl *floodedLog) {
		for _, code := range []protocol.Code{"", protocol.CodeBadCredentials, protocol.CodeBusy} {
			for range 1000 {
				fl.Record(Event{Kind: Login, Code: code, Address: netip.MustParseAddr(home)})
			}
		}
		if got := len(events(t, fl.w.take())); got != 3000 {
			t.Errorf("%d events are written, want 3000", got)
		}
	})
}

func TestFloodBounded(t *testing.T) {
	const groups = 100_000
	underFlood(t, func(fl *floodedLog) {
		addr := netip.MustParseAddr("2001:db8::").As16()
		for i := range groups {
			addr[4], addr[5], addr[6] = byte(i>>16), byte(i>>8), byte(i)
			fl.refuse(1, Refused, netip.AddrFrom16(addr).String())
		}
		if most := maxFloods + 1; len(fl.floods) != most {
			t.Errorf("%d address groups are counted, want %d", len(fl.floods), most)
		}
		if got := len(events(t, fl.w.take())); got != maxFloods+1 {
			t.Errorf("%d events are written at once, want %d", got, maxFloods+1)
		}
		time.Sleep(time.Minute)
		fl.want(fmt.Sprintf("refused invalid IP  %d", groups-maxFloods-1))
		fl.refuse(1, Refused, "")
		fl.want("refused invalid IP alice 0")
	})
}

// TestFloodFails: repetitions that could not be written are tried again, and not lost.
func TestFloodFails(t *testing.T) {
	underFlood(t, func(fl *floodedLog) {
		fl.refuse(3, Refused, home)
		fl.refuse(3, Refused, office)
		fl.want("refused "+home+" alice 0", "refused "+office+" alice 0")
		fl.w.setRoom(0)
		time.Sleep(time.Minute)
		fl.want()
		fl.refuse(1, Refused, home)
		fl.w.setRoom(1 << 30)
		time.Sleep(time.Minute)
		fl.want("refused "+home+"  3", "refused "+office+"  2")

		fl.refuse(2, Refused, home)
		fl.w.setRoom(0)
		if err := fl.Close(); !errors.Is(err, errFull) {
			t.Errorf("Close: %v, want %v", err, errFull)
		}
	})
	// Nor are those written again that could be.
	underFlood(t, func(fl *floodedLog) {
		fl.refuse(2, Refused, "192.0.2.1")
		fl.refuse(2, Refused, "192.0.2.2")
		fl.w.take()
		line, _ := encode(Event{Kind: Refused, Code: protocol.CodeRateLimited, Address: netip.MustParseAddr("192.0.2.1"), Repeated: 1})
		fl.w.setRoom(len(line)) // for one of them
		time.Sleep(time.Minute)
		fl.w.setRoom(1 << 30)
		time.Sleep(time.Minute)
		fl.want("refused 192.0.2.1  1", "refused 192.0.2.2  1")
	})
	// A first one that could not be written is no reason to count the next.
	underFlood(t, func(fl *floodedLog) {
		fl.w.setRoom(0)
		if err := fl.Record(Event{Kind: Refused, Code: protocol.CodeRateLimited}); !errors.Is(err, errFull) {
			t.Errorf("Record: %v, want %v", err, errFull)
		}
		fl.w.setRoom(1 << 30)
		fl.refuse(2, Refused, "")
		fl.want("refused invalid IP alice 0")
	})
}
