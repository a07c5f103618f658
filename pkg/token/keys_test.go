package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKeyID is the example of RFC 8037, appendix A: its key and its thumbprint.
func TestKeyID(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	key := keyOf(ed25519.NewKeyFromSeed(seed), testNow)
	if want := "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; key.ID != want {
		t.Errorf("kid is %s, want %s", key.ID, want)
	}
	set, err := KeySet{key}.public()
	if want := `"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`; err != nil || !strings.Contains(string(set), want) {
		t.Errorf("JWK set is %s, %v, want it with %s", set, err, want)
	}
}

func testSet(t *testing.T) KeySet {
	t.Helper()
	set, err := KeySet{testKey(1)}.rotate(testKey(2), testNow)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEncodeKeys(t *testing.T) {
	set := testSet(t)
	text, err := set.EncodePrivate()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	got, err := DecodePrivate(text)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	samePrivate := cmp.Comparer(func(a, b Key) bool {
		return a.ID == b.ID && a.Created.Equal(b.Created) && a.Retired.Equal(b.Retired) && a.private().Equal(b.private())
	})
	if diff := cmp.Diff(set, got, samePrivate); diff != "" {
		t.Errorf("decoded differs (-want +got):\n%s", diff)
	}
}

func TestDecodeKeysRefuses(t *testing.T) {
	text, err := testSet(t).EncodePrivate()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	d := base64url(string(testKey(2).private().Seed()))
	for name, bad := range map[string]string{
		"nothing":             "",
		"not JSON":            "x",
		"no keys":             `{}`,
		"an empty set":        `{"keys":[]}`,
		"another kid":         replace(good, testKey(2).ID, testKey(1).ID),
		"another private key": replace(good, d, base64url(string(testKey(3).private().Seed()))),
		"a short private key": replace(good, d, d[:len(d)-4]),
		"no private key":      replace(good, `"d": "`+d+`"`, `"y": ""`),
		"another curve":       replace(good, "Ed25519", "Ed448"),
		"a secret":            `{"keys":[{"jwk":{"kty":"oct","k":"` + d + `"}}]}`,
		"none that signs":     replace(good, `"created"`, `"retired":"2031-02-03T04:05:06Z","created"`),
		"two that sign":       replace(good, `"retired"`, `"x"`),
		"a key twice":         `{"keys":[` + strings.Repeat(good[strings.Index(good, "[")+1:strings.LastIndex(good, "]")]+",", 2) + `{}]}`,
		"too much":            good + strings.Repeat(" ", MaxKeySet),
	} {
		if got, err := DecodePrivate([]byte(bad)); err == nil {
			t.Errorf("decode with %s: got %v, want an error", name, got)
		} else if strings.Contains(err.Error(), d[:20]) {
			t.Errorf("decode with %s: the error shows the key: %v", name, err)
		}
	}
}

// TestKeysDoNotPrint: not where somebody logs a key, or what has one.
func TestKeysDoNotPrint(t *testing.T) {
	set, a := testSet(t), openFixed(t)
	var texts []string
	for _, value := range []any{set, set[0], &set[0], struct{ K Key }{set[0]}, a, a.Keys(), view{keys: set}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(format, value))
		}
		text, err := json.Marshal(value)
		if err != nil && value != a {
			t.Error(err)
		}
		texts = append(texts, string(text), slog.AnyValue(value).String())
	}
	for i := byte(1); i <= 2; i++ {
		seed := testKey(i).private().Seed()
		for _, form := range []string{base64url(string(seed))[:20], fmt.Sprint(seed)[1:40], fmt.Sprintf("%x", seed)[:20], fmt.Sprintf("%#v", seed)[7:30]} {
			if at := slices.IndexFunc(texts, func(text string) bool { return strings.Contains(text, form) }); at >= 0 {
				t.Errorf("the private key is in %s", texts[at])
			}
		}
	}
}

// TestKeyJSON is what the admin API and the command line show.
func TestKeyJSON(t *testing.T) {
	set := testSet(t)
	got, err := json.Marshal(set)
	want := fmt.Sprintf(`[{"id":%q,"created":"2031-02-03T04:05:06Z"},{"id":%q,"created":"2031-02-03T04:05:06Z","retired":"2031-02-03T04:05:06Z"}]`,
		set[0].ID, set[1].ID)
	if err != nil || string(got) != want {
		t.Errorf("JSON is %s, %v, want %s", got, err, want)
	}
	if got, want := set[1].Expires(), testNow.Truncate(time.Second).Add(16*time.Minute); !set[0].Expires().IsZero() || !got.Equal(want) {
		t.Errorf("the keys expire %v and %v, want never and %v", set[0].Expires(), got, want)
	}
}

func FuzzDecodePrivate(f *testing.F) {
	set, err := KeySet{testKey(1)}.rotate(testKey(2), testNow)
	if err != nil {
		f.Fatal(err)
	}
	text, err := set.EncodePrivate()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), "{}", `{"keys":[{}]}`, `{"keys":[{"jwk":{"kty":"OKP"}}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := DecodePrivate(text)
		if err != nil {
			return
		}
		again, err := set.EncodePrivate()
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if got, err := DecodePrivate(again); err != nil || len(got) != len(set) || got[0].ID != set[0].ID {
			t.Fatalf("decode again: got %v, %v, want %v", got, err, set)
		}
	})
}

// A key's id is an argument of commands.
func TestKeyIDsAreNoFlags(t *testing.T) {
	for range 500 {
		if id := newKey(time.Now()).ID; id[0] == '-' {
			t.Fatalf("the id %s looks like a flag", id)
		}
	}
}
