package peer

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// The page must come to the same digits: these were worked out apart
// from this code, in Python.
func TestSafetyCode(t *testing.T) {
	const fp1, fp2 = "AA:BB", "00:11"
	got := safetyCode(fp1, fp2, "AAECAwQFBgcICQoLDA0ODw")
	if want := "88119 18268 06682 28093 98955 78154"; got != want {
		t.Errorf("code %s, want %s", got, want)
	}
	if other := safetyCode(fp2, fp1, "AAECAwQFBgcICQoLDA0ODw"); other != got {
		t.Errorf("the other end has %s, this one %s", other, got)
	}
	if other := safetyCode(fp1, fp2, ""); other == got {
		t.Error("the call's id does not count")
	}
}

func TestFingerprint(t *testing.T) {
	want := "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55" // of nothing
	if got := fingerprintOf(nil); got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

var codeForm = regexp.MustCompile(`^\d{5}( \d{5}){5}$`)

func TestSafetyCodeOfACall(t *testing.T) {
	s := newFakeServer(t)
	var mu sync.Mutex
	var prints []string
	s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
		text, _ := json.Marshal(m)
		for _, found := range regexp.MustCompile(`sha-256 ([0-9A-F:]{95})`).FindAllStringSubmatch(string(text), -1) {
			mu.Lock()
			prints = append(prints, found[1])
			mu.Unlock()
		}
		return m
	}
	a, b := connect(t, s.join("alice"), s.join("bob"))
	if !codeForm.MatchString(a.SafetyCode()) || a.SafetyCode() != b.SafetyCode() {
		t.Errorf("codes %q and %q", a.SafetyCode(), b.SafetyCode())
	}
	mu.Lock()
	defer mu.Unlock()
	if len(prints) != 2 {
		t.Fatalf("fingerprints %q in the descriptions, want two", prints)
	}
	if want := safetyCode(prints[0], prints[1], a.ID()); a.SafetyCode() != want {
		t.Errorf("code %s, from the descriptions %s", a.SafetyCode(), want)
	}
}

// A man in the middle: the server answers both ends with a peer of its own, and
// carries the texts. The two ends then read different codes.
func TestSafetyCodeShowsManInTheMiddle(t *testing.T) {
	s := newFakeServer(t)
	alice, bob := s.join("alice"), s.join("bob")
	toAlice, toBob := s.join("mallory1"), s.join("mallory2")
	alias := map[string]string{"alice": "mallory1", "mallory1": "alice", "bob": "mallory2", "mallory2": "bob"}
	s.redirect = func(from, to string) (string, string) {
		pretended := map[string]string{"mallory1": "bob", "mallory2": "alice"}
		if name := pretended[from]; name != "" {
			return name, to
		}
		return from, alias[from]
	}
	// bob is called by "alice", who is mallory2; alice calls "bob", who is mallory1.
	victims := make(chan *Call, 1)
	go func() {
		call, err := bob.Accept(testContext(t))
		if err != nil {
			t.Error(err)
		}
		victims <- call
	}()
	bobLeg, err := toBob.Call(testContext(t), "bob")
	if err != nil {
		t.Fatal(err)
	}
	victim := <-victims
	legs := make(chan *Call, 1)
	go func() {
		call, err := toAlice.Accept(testContext(t))
		if err != nil {
			t.Error(err)
		}
		legs <- call
	}()
	caller, err := alice.Call(testContext(t), "bob")
	if err != nil {
		t.Fatal(err)
	}
	aliceLeg := <-legs
	say(t, caller, "secret")
	wantText(t, aliceLeg, "secret")
	say(t, bobLeg, "secret") // read, and carried on
	wantText(t, victim, "secret")
	if caller.Peer() != "bob" || victim.Peer() != "alice" {
		t.Fatalf("the ends talk to %s and %s", caller.Peer(), victim.Peer())
	}
	if caller.SafetyCode() == victim.SafetyCode() {
		t.Errorf("both ends read %s with a man in the middle", caller.SafetyCode())
	}
}

// A proxy that only rewrites the fingerprints gets no call at all: DTLS checks them.
func TestRewrittenFingerprintIsRefused(t *testing.T) {
	s := newFakeServer(t)
	s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
		if m, ok := m.(protocol.Answer); ok {
			at := strings.Index(m.Answer.SDP, "sha-256 ") + len("sha-256 ")
			m.Answer.SDP = m.Answer.SDP[:at] + strings.Repeat("00:", 31) + "00" + m.Answer.SDP[at+95:]
			return m
		}
		return m
	}
	alice, bob := s.join("alice"), s.join("bob")
	go bob.Accept(testContext(t))
	if call, err := alice.Call(testContext(t), "bob"); err == nil {
		t.Errorf("a call with a forged fingerprint, code %s", call.SafetyCode())
	}
}
