package hostaddr

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// addresses makes those of a list of prefixes, "?" behind a tentative one.
func addresses(text string) (list []Address) {
	for field := range strings.FieldsSeq(text) {
		prefix, tentative := strings.CutSuffix(field, "?")
		list = append(list, Address{netip.MustParsePrefix(prefix), tentative})
	}
	return list
}

// scripted is a system whose list the test sets, one after the other.
type scripted struct {
	next chan func() ([]Address, error)
	now  func() ([]Address, error)
}

func newScripted(text string) *scripted {
	return &scripted{make(chan func() ([]Address, error)), has(text)}
}

func has(text string) func() ([]Address, error) {
	return func() ([]Address, error) { return addresses(text), nil }
}

func (s *scripted) list() ([]Address, error) { return s.now() }
func (s *scripted) close() error             { close(s.next); return nil }

func (s *scripted) wait() (ok bool) {
	s.now, ok = <-s.next
	return ok
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newScripted("127.0.0.1/8")
		w, err := open(s, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		changed, stop := w.Watch()
		for _, step := range []struct {
			name, now string
			changes   bool
			log       string
		}{
			{"nothing new", "127.0.0.1/8", false, ""},
			{"a tentative address", "127.0.0.1/8 2600::1/64?", true, `added="[2600::1/64 (tentative)]"`},
			{"it can be used", "127.0.0.1/8 2600::1/64", true, "added=[2600::1/64]"},
			{"it is gone", "127.0.0.1/8", true, "removed=[2600::1/64]"},
		} {
			log.Reset()
			s.next <- has(step.now)
			synctest.Wait()
			select {
			case <-changed:
				if !step.changes {
					t.Errorf("%s: got news, want none", step.name)
				}
			default:
				if step.changes {
					t.Errorf("%s: got no news", step.name)
				}
			}
			if !slices.Equal(w.Current(), addresses(step.now)) || !strings.Contains(log.String(), step.log) {
				t.Errorf("%s: got %v and log %q, want %s and %s", step.name, w.Current(), log.String(), step.now, step.log)
			}
		}
		stop()
		s.next <- has("")
		synctest.Wait()
		if len(changed) > 0 || len(w.Current()) > 0 {
			t.Errorf("after stop: got news %d and %v, want none and no address", len(changed), w.Current())
		}
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// What cannot be read changes nothing, and is logged once.
func TestWatchFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, want := newScripted("9.9.9.9/24"), addresses("9.9.9.9/24")
		w, err := open(s, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		fails := func() ([]Address, error) { return nil, errors.New("too many open files") }
		for range 3 {
			s.next <- fails
		}
		synctest.Wait()
		if got := strings.Count(log.String(), "too many open files"); got != 1 || !slices.Equal(w.Current(), want) {
			t.Errorf("got %d warnings and %v, want 1 and %v", got, w.Current(), want)
		}
		w.Close()
		s = newScripted("")
		s.now = fails
		if _, err := open(s, nil); err == nil {
			t.Error("open without a list: got no error")
		}
	})
}

func TestPoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPoller(), time.Now()
		if !p.wait() || time.Since(began) != PollInterval {
			t.Errorf("wait: it took %v, want %v", time.Since(began), PollInterval)
		}
		p.close()
		p.close()
		if p.wait() {
			t.Error("wait after close: got true")
		}
	})
}

// The system's list is the one that package net has.
func TestOpen(t *testing.T) {
	w, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, a := range w.Current() {
		got = append(got, a.String())
	}
	for _, a := range all {
		want = append(want, a.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestIsUsable(t *testing.T) {
	for text, want := range map[string]bool{
		"9.9.9.9/24": true, "10.0.0.1/8": true, "2600::1/64": true, "fd00::1/64": true,
		"2600::1/64?": false, "127.0.0.1/8": false, "::1/128": false, "169.254.1.1/16": false, "fe80::1/64": false,
	} {
		if got := addresses(text)[0].IsUsable(); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}
