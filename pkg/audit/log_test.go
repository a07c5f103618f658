package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRecordParallel: every line is there exactly once, over all files.
func TestRecordParallel(t *testing.T) {
	const workers, each = 8, 1000
	tl := openLog(t, &Options{MaxSize: 64 << 10, MaxFiles: 100})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				tl.record(fmt.Sprint(w, "-", i))
			}
		})
	}
	wg.Wait()
	if err := tl.Close(); err != nil {
		t.Error(err)
	}
	files, _ := filepath.Glob(tl.path + "*")
	if len(files) < 5 {
		t.Errorf("%d files, want it to have been rotated", len(files))
	}
	seen := map[string]int{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil || len(text) > 64<<10 {
			t.Errorf("%s: %d bytes, %v, want %d at most", path, len(text), err, 64<<10)
		}
		for _, e := range events(t, text) {
			seen[e.User]++
		}
	}
	for user, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times, want once", user, n)
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d events are there, want %d", len(seen), workers*each)
	}
}

func TestClose(t *testing.T) {
	tl := openLog(t, nil)
	tl.record("alice")
	for range 2 {
		if err := tl.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := tl.Record(Event{Kind: Login}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Record after Close: %v, want %v", err, os.ErrClosed)
	}
	tl.wantUsers("", "alice")
}

func TestNil(t *testing.T) {
	var l *Log
	if err := errors.Join(l.Record(Event{Kind: Login}), l.Close()); err != nil {
		t.Errorf("a nil Log: %v, want no error", err)
	}
}

// writer is a disk that is full when there is no room left.
type writer struct {
	mu     sync.Mutex
	text   []byte
	writes int
	room   int
}

var errFull = errors.New("disk full")

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	n := min(w.room, len(p))
	w.room -= n
	w.text = append(w.text, p[:n]...)
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (w *writer) setRoom(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.room = n
}

// take returns what was written since the last call.
func (w *writer) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.text
	w.text = nil
	return text
}

func TestRecordFails(t *testing.T) {
	w := &writer{room: 1 << 10}
	l := New(w)
	tl := &testLog{t, l, ""}
	tl.record("alice")
	for _, room := range []int{10, 0, 1, 0} {
		w.setRoom(room)
		if err := l.Record(Event{Kind: Login, User: "bob"}); !errors.Is(err, errFull) {
			t.Errorf("Record with room for %d bytes: %v, want %v", room, err, errFull)
		}
	}
	w.setRoom(1 << 10)
	tl.record("carol", "dave")
	var whole []string
	text := string(w.take())
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, `{"time":`) && strings.HasSuffix(line, "}\n") {
			whole = append(whole, events(t, []byte(line))[0].User)
		}
	}
	if got, want := fmt.Sprint(whole), "[alice carol dave]"; got != want {
		t.Errorf("whole lines: %s, want %s, in\n%s", got, want, text)
	}
	if w.writes != 7 {
		t.Errorf("%d calls of Write for 7 events, want one each", w.writes)
	}
}

// lazy is a writer that takes half and says nothing of it.
type lazy struct{ bytes.Buffer }

func (w *lazy) Write(p []byte) (int, error) { return w.Buffer.Write(p[:len(p)/2]) }

func TestRecordShortWrite(t *testing.T) {
	if err := New(&lazy{}).Record(Event{Kind: Login}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Record: %v, want %v", err, io.ErrShortWrite)
	}
}

// TestRecordTime: an event has the time at which it is recorded, unless it has one.
func TestRecordTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w bytes.Buffer
		l := New(&w)
		now := time.Now()
		l.Record(Event{Kind: Login})
		l.Record(Event{Kind: Login, Time: now.Add(-time.Hour)})
		got := events(t, w.Bytes())
		if !got[0].Time.Equal(now) || !got[1].Time.Equal(now.Add(-time.Hour)) {
			t.Errorf("got %v and %v, want %v and an hour before", got[0].Time, got[1].Time, now)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	e := Event{Kind: Login, Code: "bad_credentials", User: "alice", Source: "password", Session: "0123456789abcdefghijkl"}
	for _, c := range []struct {
		name string
		log  func() (*Log, error)
	}{
		{"file", func() (*Log, error) { return Open(filepath.Join(b.TempDir(), "audit.log"), nil) }},
		{"discard", func() (*Log, error) { return New(io.Discard), nil }},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := c.log()
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Record(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("repeated", func(b *testing.B) {
		l := New(io.Discard)
		defer l.Close()
		b.ReportAllocs()
		for b.Loop() {
			l.Record(Event{Kind: Refused, Code: "rate_limited"})
		}
	})
}
