package signal

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/user"
)

// A login ends with its connection: it waits no longer for its turn, and begins no session if it is
// let in all the same.
func TestLoginOfAClosedConnection(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	isLetIn := func(ctx context.Context) error { <-ctx.Done(); return nil }
	evicted := func(ts *testServer) {
		ts.connect("second")
		time.Sleep(10 * time.Second)
		ts.connect("third")
	}
	late := func(*testServer) { time.Sleep(protocol.LoginTimeout + closeTimeout) }
	for _, tt := range []struct {
		name  string
		login authenticator
		ends  func(*testServer)
		left  int
	}{
		{"evicted while it waits", waits, evicted, 2},
		{"evicted before it is let in", isLetIn, evicted, 2},
		{"cut off while it waits", waits, late, 0},
		{"cut off before it is let in", isLetIn, late, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			audited := &lines{}
			log := audit.New(audited)
			defer log.Close()
			bubbleWith(t, &Config{Users: tt.login, MaxPending: 2, Audit: log}, func(ts *testServer) {
				ts.connect("first").send(`{"type":"login","name":"user1","password":"x"}`)
				synctest.Wait()
				tt.ends(ts)
				synctest.Wait()
				if got := ts.Stats(); got.Connections != tt.left || got.Sessions != 0 {
					t.Errorf("there are %d connections and %d sessions, want %d and 0", got.Connections, got.Sessions, tt.left)
				}
			})
			if events := audited.take(t); len(events) != 0 {
				t.Errorf("audit holds %+v, want nothing: nobody was let in or refused", events)
			}
		})
	}
}

// Logins in a row that find the server busy are a flood. Who waits each time as long as told may go on
// until the time for a login is over.
func TestLoginsWhileBusy(t *testing.T) {
	busy := authenticator(func(context.Context) error { return user.ErrBusy })
	bubbleWith(t, &Config{Users: busy}, func(ts *testServer) {
		login := `{"type":"login","name":"user1","password":"x"}`
		flood := ts.connect("flood")
		for range protocol.MaxFaults + 1 {
			flood.send(login)
			flood.want(`{"type":"login","code":"busy"}`)
		}
		flood.wantClose(int(protocol.CloseProtocolError))

		patient, began := ts.connect("patient"), time.Now()
		for {
			patient.send(login)
			wait := time.Duration(patient.want(`{"type":"login","code":"busy"}`)["retryAfter"].(float64)) * time.Second
			if time.Since(began)+wait >= protocol.LoginTimeout {
				break
			}
			time.Sleep(wait)
		}
		patient.wantClose(int(protocol.CloseNotAuthenticated))
	})
}
