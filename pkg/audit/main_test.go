package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events reads lines, each of which has to be an event.
func events(t *testing.T, text []byte) []Event {
	t.Helper()
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("the last line has no end: %.300q", text)
	}
	var list []Event
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		var e Event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			t.Errorf("line %d: %v: %.300q", len(list)+1, err, scanner.Text())
		}
		list = append(list, e)
	}
	return list
}

// testLog is a Log with its file.
type testLog struct {
	*testing.T
	*Log
	path string
}

func openLog(t *testing.T, opts *Options) *testLog {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	return &testLog{t, mustOpen(t, path, opts), path}
}

func mustOpen(t *testing.T, path string, opts *Options) *Log {
	t.Helper()
	l, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (tl *testLog) record(users ...string) {
	tl.Helper()
	for _, user := range users {
		if err := tl.Record(Event{Kind: Login, User: user}); err != nil {
			tl.Errorf("record %s: %v", user, err)
		}
	}
}

// wantUsers checks which users' events are in a file, or that there is none.
func (tl *testLog) wantUsers(suffix string, want ...string) {
	tl.Helper()
	text, err := os.ReadFile(tl.path + suffix)
	if want == nil && err == nil {
		tl.Errorf("%s is there, want no such file", filepath.Base(tl.path)+suffix)
	} else if want != nil && err != nil {
		tl.Error(err)
	}
	var got []string
	for _, e := range events(tl.T, text) {
		got = append(got, e.User)
	}
	if !slices.Equal(got, want) {
		tl.Errorf("%s: got %q, want %q", filepath.Base(tl.path)+suffix, got, want)
	}
}
