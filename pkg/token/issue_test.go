package token

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestIssueRefuses(t *testing.T) {
	a := openFixed(t)
	for name, change := range map[string]func(c *Claims, ttl *time.Duration){
		"no kind":                   func(c *Claims, _ *time.Duration) { c.Kind = "" },
		"another kind":              func(c *Claims, _ *time.Duration) { c.Kind = "JWT" },
		"no user":                   func(c *Claims, _ *time.Duration) { c.User = "" },
		"a bad user":                func(c *Claims, _ *time.Duration) { c.User = "a/b" },
		"a bad session":             func(c *Claims, _ *time.Duration) { c.Session = "a b" },
		"no room":                   func(c *Claims, _ *time.Duration) { c.Room = "" },
		"a bad room":                func(c *Claims, _ *time.Duration) { c.Room = strings.Repeat("x", 65) },
		"no permission":             func(c *Claims, _ *time.Duration) { c.Permissions = nil },
		"an unknown permission":     func(c *Claims, _ *time.Duration) { c.Permissions = []string{"join", "root"} },
		"a permission twice":        func(c *Claims, _ *time.Duration) { c.Permissions = []string{"join", "join"} },
		"a room in an access token": func(c *Claims, _ *time.Duration) { c.Kind, c.Permissions = Access, nil },
		"permissions in one":        func(c *Claims, _ *time.Duration) { c.Kind, c.Room = Access, "" },
		"no lifetime":               func(_ *Claims, ttl *time.Duration) { *ttl = 0 },
		"a negative lifetime":       func(_ *Claims, ttl *time.Duration) { *ttl = -time.Minute },
		"less than a second":        func(_ *Claims, ttl *time.Duration) { *ttl = time.Second - 1 },
		"more than the most":        func(_ *Claims, ttl *time.Duration) { *ttl = MaxLifetime + 1 },
		"a revocation to come":      func(c *Claims, _ *time.Duration) { c.After = testNow.Add(Leeway) },
	} {
		c, ttl := alice(Room), time.Minute
		change(&c, &ttl)
		if text, _, err := a.Issue(c, ttl); err == nil || text != "" {
			t.Errorf("issue with %s: got %q, %v, want an error", name, text, err)
		}
	}
}

// TestIssueFillsIn: what every token has of its own, whatever it was made from.
func TestIssueFillsIn(t *testing.T) {
	a := openFixed(t)
	c := alice(Access)
	c.Session = ""
	_, access := issue(t, a, c, MaxLifetime)
	if !protocol.ValidName(access.Session) {
		t.Errorf("session is %q, want one that was made", access.Session)
	}
	room := access
	room.Kind, room.Room, room.Permissions = Room, "lobby", []string{"join"}
	_, first := issue(t, a, room, 90*time.Second)
	_, second := issue(t, a, first, time.Minute)
	if first.Session != access.Session || second.Session != access.Session {
		t.Errorf("sessions are %q and %q, want that of the access token, %q", first.Session, second.Session, access.Session)
	}
	if first.ID == access.ID || second.ID == first.ID || first.ID == "" {
		t.Errorf("ids are %q, %q, %q, want three that differ", access.ID, first.ID, second.ID)
	}
	c.Session = "onrtac:6b1/=" // as outside issuers name them
	if text, named := issue(t, a, c, time.Minute); wantVerify(t, a, text, Access, nil).Session != c.Session {
		t.Errorf("session is %q, want %q", named.Session, c.Session)
	}
	start := testNow.Truncate(time.Second)
	if want := start.Add(90 * time.Second); !first.Issued.Equal(start) || !first.Expires.Equal(want) || first.Key != testKey(1).ID {
		t.Errorf("issued %v to %v by %s, want %v to %v by %s", first.Issued, first.Expires, first.Key, start, want, testKey(1).ID)
	}
}

// TestIssueAfter: a token that is issued after a revocation is not one of those
// that were revoked, whose iat is up to the second of that.
func TestIssueAfter(t *testing.T) {
	a := openFixed(t)
	second := testNow.Truncate(time.Second)
	for _, tt := range []struct {
		after, want time.Time
	}{
		{time.Time{}, second},
		{testNow.Add(-time.Hour), second},
		{second.Add(-1), second},
		{second, second.Add(time.Second)},
		{testNow, second.Add(time.Second)},
		{second.Add(time.Second - 1), second.Add(time.Second)},
		{second.Add(time.Second), second.Add(2 * time.Second)}, // by another's clock
		{second.Add(29 * time.Second), second.Add(30 * time.Second)},
	} {
		c := alice(Room)
		c.After = tt.after
		text, issued := issue(t, a, c, time.Minute)
		if !issued.Issued.Equal(tt.want) || !issued.Expires.Equal(tt.want.Add(time.Minute)) || !issued.After.IsZero() {
			t.Errorf("issue after %v: got %+v, want it issued at %v", tt.after, issued, tt.want)
		}
		wantVerify(t, a, text, Room, nil)
	}
}

// TestForm is what others read: the members and their order of magnitude.
func TestForm(t *testing.T) {
	text, c := issue(t, openFixed(t), alice(Room), 5*time.Minute)
	part := strings.Split(text, ".")
	for i, want := range []string{
		`{"alg":"EdDSA","kid":"` + testKey(1).ID + `","typ":"room+jwt"}`,
		fmt.Sprintf(`{"iss":"sigctl","sub":"alice","aud":["sigctl/ws"],"exp":%d,"nbf":%d,"iat":%d,"jti":%q,`+
			`"sid":"sign-in","room":"lobby","perms":["join","data"]}`, c.Expires.Unix(), c.Issued.Unix(), c.Issued.Unix(), c.ID),
	} {
		if got, err := base64.RawURLEncoding.DecodeString(part[i]); err != nil || string(got) != want {
			t.Errorf("part %d is %s, %v, want %s", i+1, got, err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, issuer := range []string{"\xff", strings.Repeat("x", 257)} {
		if _, err := Open(t.Context(), &memoryKeys{}, everything{}, &Options{Issuer: issuer}); err == nil {
			t.Errorf("open with issuer %.20q: no error", issuer)
		}
	}
}
