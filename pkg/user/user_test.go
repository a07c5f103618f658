package user_test

import (
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/user"
)

func TestValidAfter(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, c := range []struct{ created, revoked, want time.Time }{
		{time.Time{}, time.Time{}, time.Time{}}, // an old record by hand
		{at, time.Time{}, at},
		{at.Add(999 * time.Millisecond), time.Time{}, at},
		{at, at.Add(time.Hour), at.Add(time.Hour)},
		{at, at.Add(-time.Hour), at},
	} {
		u := user.User{Created: c.created, Revoked: c.revoked}
		if got := u.ValidAfter(); !got.Equal(c.want) {
			t.Errorf("ValidAfter with Created %v, Revoked %v = %v, want %v", c.created, c.revoked, got, c.want)
		}
	}
}
