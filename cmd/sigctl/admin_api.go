package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sigctl/sigctl/pkg/admin"
	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/user"
	"github.com/sigctl/sigctl/signal"
)

// The calls of the admin socket beside those of package user.
var (
	adminSessions = admin.List[struct{}, signal.SessionInfo]{Path: "/sessions/list", Max: 1_000_000}
	adminRooms    = admin.List[struct{}, signal.RoomInfo]{Path: "/rooms/list", Max: 1_000_000}
	adminKick     = admin.Method[kickRequest, kickAnswer]{Path: "/sessions/kick", Errors: kickErrors}
	adminToken    = admin.Method[tokenRequest, tokenAnswer]{Path: "/tokens/issue", Errors: tokenErrors}
	adminKeys     = admin.List[struct{}, token.Key]{Path: "/tokens/keys/list"}
	adminRotate   = admin.Method[struct{}, token.Key]{Path: "/tokens/keys/rotate"}
	adminRemove   = admin.Method[removeRequest, struct{}]{Path: "/tokens/keys/remove", Errors: tokenErrors}
	adminStoreID  = admin.Method[struct{}, string]{Path: "/store/id"}

	kickErrors  = []admin.Error{{Code: "nothing", Status: http.StatusNotFound, Err: errNothingToKick}}
	tokenErrors = []admin.Error{
		{Code: "no_key", Status: http.StatusNotFound, Err: token.ErrNoKey},
		{Code: "signs", Status: http.StatusConflict, Err: token.ErrSigns},
		{Code: "source", Status: http.StatusConflict, Err: user.ErrSource},
		{Code: "invalid", Status: http.StatusUnprocessableEntity, Err: user.ErrInvalid},
	}
)

type kickRequest struct {
	User string `json:"user"`
}

type kickAnswer struct {
	Session     bool `json:"session"`     // one was ended
	Allocations int  `json:"allocations"` // of the relay that were closed
}

type tokenRequest struct {
	User        string        `json:"user"`
	Room        string        `json:"room"`
	Permissions []string      `json:"permissions"`
	TTL         time.Duration `json:"ttl"`
}

type tokenAnswer struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

type removeRequest struct {
	ID string `json:"id"`
}

var errNothingToKick = errors.New("no such user, and no session of that name")

// adminAPI adds the calls to mux.
func (a *app) adminAPI(mux *http.ServeMux) {
	adminSessions.Handle(mux, func(context.Context, struct{}) ([]signal.SessionInfo, error) { return a.signal.List(), nil })
	adminRooms.Handle(mux, func(context.Context, struct{}) ([]signal.RoomInfo, error) { return a.signal.Rooms(), nil })
	adminStoreID.Handle(mux, func(ctx context.Context, _ struct{}) (string, error) { return a.backing.id(ctx) })
	adminKick.Handle(mux, func(ctx context.Context, m kickRequest) (kickAnswer, error) { return a.kick(ctx, m.User) })
	adminDrain.Handle(mux, a.drain)
	adminToken.Handle(mux, func(ctx context.Context, m tokenRequest) (tokenAnswer, error) {
		text, c, err := a.signal.IssueRoomToken(ctx, m.User, m.Room, m.Permissions, m.TTL)
		return tokenAnswer{text, c.Expires}, err
	})
	adminKeys.Handle(mux, func(ctx context.Context, _ struct{}) ([]token.Key, error) {
		err := a.tokens.Refresh(ctx)
		return a.tokens.Keys(), err
	})
	adminRotate.Handle(mux, func(ctx context.Context, _ struct{}) (token.Key, error) {
		a.adminAction("rotate the token keys", "")
		return a.tokens.Rotate(ctx)
	})
	adminRemove.Handle(mux, func(ctx context.Context, m removeRequest) (struct{}, error) {
		a.adminAction("remove token key "+m.ID, "")
		return struct{}{}, a.tokens.Remove(ctx, m.ID)
	})
}

// adminAction writes down what is about to be done to a user, or to all. If that
// fails, nothing is granted; what takes a right away is done all the same.
func (a *app) adminAction(what, name string) error {
	return a.record(audit.Event{Kind: audit.Admin, Actor: "admin", User: name, Why: what})
}

// kick ends what a user has, and voids what was issued to them until now.
func (a *app) kick(ctx context.Context, name string) (kickAnswer, error) {
	u, err := a.backing.users.Get(ctx, name)
	if errors.Is(err, user.ErrNotFound) {
		if answer, _ := a.end(name, nil); answer != (kickAnswer{}) {
			return answer, nil
		}
		return kickAnswer{}, errNothingToKick
	}
	a.record(audit.Event{Kind: audit.Revoked, Actor: "admin", User: name}) // logged, if it fails: to take a right away is never wrong
	return a.end(name, func() error {
		if err == nil {
			err = settle(ctx, u)
		}
		if err == nil {
			err = a.backing.users.Revoke(ctx, name, time.Now())
		}
		return err
	})
}

const kickedByAdmin = "ended by the administrator"

// settle waits until nothing that u has is dated later than now. What is issued in
// the second up to which all is void, is dated to the next one.
func settle(ctx context.Context, u user.User) error {
	wait := time.Until(u.ValidAfter().Add(time.Second))
	if wait > 2*time.Second {
		return fmt.Errorf("user %s: what was issued until %s is void already, and that is ahead of this machine's clock: correct the clock, and try again",
			u.Name, u.ValidAfter().Format(time.RFC3339))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end closes a user's session and allocations. Credentials of the relay that were
// given out until then open nothing any more: first the session, which could ask for
// more of them.
func (a *app) end(name string, void func() error) (answer kickAnswer, err error) {
	answer.Session, err = a.signal.Kick(name, kickedByAdmin, void)
	until := a.ice.void(name, time.Now())
	if a.relay != nil {
		answer.Allocations = a.relay.Kick(name, until)
	}
	a.kicking.Lock()
	defer a.kicking.Unlock()
	if err := a.data.rememberKick(name, until); err != nil {
		a.log.Error("a kick is not kept for the relay's next start", "user", name, "err", err)
	}
	return answer, err
}

// adminStore is the store as administrators change it: that is written down, and who
// is deleted or gets another password loses what was theirs.
type adminStore struct {
	user.Store
	app *app
}

func (s adminStore) Add(ctx context.Context, u user.User) error {
	if err := s.app.adminAction("add user", u.Name); err != nil {
		return err
	}
	return s.Store.Add(ctx, u)
}

func (s adminStore) Claim(ctx context.Context, name, source string) (user.User, error) {
	if err := s.app.adminAction("claim name for "+source, name); err != nil {
		return user.User{}, err
	}
	return s.Store.Claim(ctx, name, source)
}

func (s adminStore) Revoke(ctx context.Context, name string, _ time.Time) error {
	_, err := s.app.kick(ctx, name)
	return err
}

func (s adminStore) SetHash(ctx context.Context, name, hash string) error {
	s.app.adminAction("set password", name)
	_, err := s.app.end(name, func() error {
		if err := s.settle(ctx, name); err != nil {
			return err
		}
		s.app.record(audit.Event{Kind: audit.Revoked, Actor: "admin", User: name})
		return s.Store.SetHash(ctx, name, hash)
	})
	return err
}

// Delete settles first: who gets the name next has nothing of its last owner's.
func (s adminStore) Delete(ctx context.Context, name string) error {
	_, err := s.app.end(name, func() error {
		if err := s.settle(ctx, name); err != nil && !errors.Is(err, user.ErrNotFound) { // a plain password is found by Delete alone
			return err
		}
		s.app.adminAction("delete user", name)
		return s.Store.Delete(ctx, name)
	})
	return err
}

func (s adminStore) settle(ctx context.Context, name string) error {
	u, err := s.Store.Get(ctx, name)
	if err != nil {
		return err
	}
	return settle(ctx, u)
}
