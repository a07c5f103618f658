package peer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// permit makes the server name permissions for the senders of the descriptions that
// match, and carry them whatever they need.
func (s *fakeServer) permit(perms map[string][]string, match func(from string, m protocol.Forwarded) bool) {
	s.tamper = func(from, to string, m protocol.Forwarded) protocol.Forwarded {
		if !match(from, m) {
			return m
		}
		if c := s.conn(to); c != nil {
			c.send("", m.From(from, perms[from]))
		}
		return nil
	}
}

func isOffer(_ string, m protocol.Forwarded) bool  { _, ok := m.(protocol.Offer); return ok }
func isAnswer(_ string, m protocol.Forwarded) bool { _, ok := m.(protocol.Answer); return ok }

func TestPermittedDescriptions(t *testing.T) {
	s := newFakeServer(t)
	may := []string{protocol.PermJoin, protocol.PermData}
	s.permit(map[string][]string{"alice": may, "bob": may}, func(from string, m protocol.Forwarded) bool {
		return isOffer(from, m) || isAnswer(from, m)
	})
	a, b := connect(t, s.join("alice"), s.join("bob"))
	wantChat(t, a, b)
}

func TestOfferBeyondItsSendersPermissions(t *testing.T) {
	s := newFakeServer(t)
	s.permit(map[string][]string{"alice": {protocol.PermJoin, protocol.PermPublish}}, isOffer)
	alice, bob := s.join("alice"), s.join("bob")
	go bob.Accept(testContext(t))
	_, err := alice.Call(testContext(t), "bob")
	if !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), protocol.ReasonUnsupported) {
		t.Errorf("Call: %v, want it refused as unsupported", err)
	}
}

func TestAnswerBeyondItsSendersPermissions(t *testing.T) {
	s := newFakeServer(t)
	s.permit(map[string][]string{"bob": {protocol.PermJoin}}, isAnswer)
	alice, bob := s.join("alice"), s.join("bob")
	go bob.Accept(testContext(t))
	_, err := alice.Call(testContext(t), "bob")
	if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), `lacks the permission "data"`) {
		t.Errorf("Call: %v, want the missing permission", err)
	}
}

// A sender whose permissions are named cannot send what could be read two ways.
func TestAmbiguousOffer(t *testing.T) {
	s := newFakeServer(t)
	s.tamper = func(from, to string, m protocol.Forwarded) protocol.Forwarded {
		if m, ok := m.(protocol.Offer); ok {
			m.Offer.SDP += "a=sendrecv\r\na=inactive\r\n"
			s.conn(to).send("", m.From(from, []string{protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe}))
			return nil
		}
		return m
	}
	alice, bob := s.join("alice"), s.join("bob")
	go bob.Accept(testContext(t))
	if _, err := alice.Call(testContext(t), "bob"); !errors.Is(err, ErrRejected) {
		t.Errorf("Call: %v, want it refused", err)
	}
}

// Permissions that were taken away hold for a renegotiation.
func TestRenegotiationBeyondItsSendersPermissions(t *testing.T) {
	s := newFakeServer(t)
	offers := 0
	s.permit(map[string][]string{"alice": {protocol.PermJoin}}, func(from string, m protocol.Forwarded) bool {
		if isOffer(from, m) {
			offers++
		}
		return isOffer(from, m) && offers > 1
	})
	_, b := connect(t, s.join("alice"), s.join("bob"))
	if err := b.send(protocol.Renegotiate{Name: "alice", Call: b.ID()}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Done():
	case <-testContext(t).Done():
		t.Fatal("the call goes on")
	}
	if err := b.Err(); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "lacks the permission") {
		t.Errorf("call ended with %v, want the missing permission", err)
	}
}

// Our own descriptions need data and no more, and a strict server can read them.
func TestDescriptionsOfOursNeedData(t *testing.T) {
	s := newFakeServer(t)
	s.tamper = func(from, _ string, m protocol.Forwarded) protocol.Forwarded {
		var d protocol.Description
		switch m := m.(type) {
		case protocol.Offer:
			d = m.Offer
		case protocol.Answer:
			d = m.Answer
		default:
			return m
		}
		if got, err := d.Requires(); err != nil || !slices.Equal(got, []string{protocol.PermData}) {
			t.Errorf("%s of %s requires %v, %v", d.Type, from, got, err)
		}
		return m
	}
	connect(t, s.join("alice"), s.join("bob"))
}
