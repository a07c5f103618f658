package audit

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sigctl/sigctl/pkg/protocol"
)

var noon = time.Date(2026, 11, 21, 13, 0, 0, 7_900_000, time.FixedZone("CET", 3600))

// TestSchema: names, order and form of the fields stay.
func TestSchema(t *testing.T) {
	for _, c := range []struct {
		event Event
		want  string
	}{
		{
			Event{Time: noon, Kind: Login, User: "alice", Source: "password", Address: netip.MustParseAddr("192.0.2.1")},
			`{"time":"2026-11-21T12:00:00.007Z","event":"login","outcome":"ok","user":"alice","source":"password","address":"192.0.2.1"}`,
		},
		{
			Event{Time: noon.Truncate(time.Second), Kind: Refused, Code: protocol.CodeForbidden, Address: netip.MustParseAddr("::ffff:192.0.2.1")},
			`{"time":"2026-11-21T12:00:00.000Z","event":"refused","outcome":"refused","code":"forbidden","address":"192.0.2.1"}`,
		},
		{
			Event{Time: noon, Kind: SessionEnd, Outcome: OutcomeOK, Code: protocol.CodeInternal, Address: netip.MustParseAddr("fe80::1%eth0")},
			`{"time":"2026-11-21T12:00:00.007Z","event":"session_end","outcome":"ok","code":"internal","address":"fe80::1"}`,
		},
		{
			Event{Time: noon, Kind: "k", Outcome: "o", Code: "c", Why: "<w>", User: "u", Source: "s", Room: "r", Session: "i", Peer: "p", Message: "m", Token: "t", Actor: "a", Repeated: 2},
			`{"time":"2026-11-21T12:00:00.007Z","event":"k","outcome":"o","code":"c","why":"<w>","user":"u","source":"s","room":"r","session":"i","peer":"p","message":"m","token":"t","actor":"a","repeated":2}`,
		},
	} {
		got, err := encode(c.event)
		if err != nil || string(got) != c.want+"\n" {
			t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
		}
	}
}

func TestBounded(t *testing.T) {
	ae, cut := strings.Repeat("ä", 128), strings.Repeat("x", 253)
	for _, c := range []struct{ name, text, want string }{
		{"plain", "alice", "alice"},
		{"letters", "Łódź 東京", "Łódź 東京"},
		{"line ends", "a\r\nb\x00", "a\r\nb\x00"}, // encoding/json escapes them
		{"terminal", "a\u009b31mb\x7f", "a\ufffd31mb\ufffd"},
		{"direction", "a\u202eb\u200b", "a\ufffdb\ufffd"},
		{"line separator", "a\u2028b", "a\ufffdb"},
		{"not UTF-8", "a\xff\xc3b", "a\ufffd\ufffdb"},
		{"just fits", ae, ae},
		{"one too many", cut + "xxxx", cut + "…"},
		{"not cut in a letter", ae + "ä", strings.Repeat("ä", 126) + "…"},
		{"long and not UTF-8", strings.Repeat("\x80", 1000), strings.Repeat("\ufffd", 84) + "…"},
	} {
		if got := bounded(c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzEncode: whatever is in the fields, it is one line, of bounded length, and nothing of it gets into other fields.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "alice", "\n{}\n", `","actor":"admin`, "\x1b[2J", "\xff\xfe", "\u2028", strings.Repeat("\x00", 1000)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, user, why string) {
		line, err := encode(Event{Time: noon, Kind: Login, User: user, Why: why})
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
			t.Errorf("newline at %d of %d: %q", n, len(line), line)
		}
		if most := 2*6*maxText + 200; len(line) > most { // a control takes six: \u001b
			t.Errorf("%d bytes, want %d at most", len(line), most)
		}
		if i := bytes.IndexFunc(line[:len(line)-1], func(r rune) bool { return r < ' ' || visible(r) != r }); i >= 0 && utf8.Valid(line[i:i+1]) {
			t.Errorf("not visible at %d: %q", i, line)
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if want := (Event{Time: e.Time, Kind: Login, Outcome: OutcomeOK, User: bounded(user), Why: bounded(why)}); e != want {
			t.Errorf("got %+v, want %+v", e, want)
		}
	})
}
