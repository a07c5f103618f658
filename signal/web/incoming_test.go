//go:build integration

package web

import (
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/signal/web/webtest"
)

// patient gives a page's calls all the time that they need to connect.
const patient = `
	const wait = setTimeout;
	window.setTimeout = (then, ms, ...rest) => wait(then, ms === 30_000 ? 3_600_000 : ms, ...rest);`

// patientPeople returns people who are signed in and whose calls do not time out.
func patientPeople(t *testing.T, s *fakeServer, names ...string) (people []*webtest.Person) {
	t.Helper()
	for _, name := range names {
		p := newPerson(t, s, name, patient)
		p.SignIn(name + "-password")
		p.WantVisible("#app")
		people = append(people, p)
	}
	return people
}

// ringer offers calls to somebody and never connects them.
type ringer struct {
	s   *fakeServer
	to  *webtest.Person
	sdp string
}

func (s *fakeServer) ringer(to *webtest.Person) ringer {
	const describe = `(async () => {
		const pc = new RTCPeerConnection();
		pc.createDataChannel("control");
		const { sdp } = await pc.createOffer();
		pc.close();
		return sdp;
	})()`
	return ringer{s, to, webtest.Eval[string](to, describe)}
}

// offer offers a call and returns its id.
func (r ringer) offer(from string) (id string) {
	r.s.t.Helper()
	id = protocol.NewCallID()
	r.s.inject(r.to.Name, message{"type": "offer", "name": from, "call": id, "offer": message{"type": "offer", "sdp": r.sdp}})
	return id
}

// ring offers a call of someone who is here, and waits until it has been answered.
func (r ringer) ring(from string) (id string) {
	r.s.t.Helper()
	rejects := len(r.s.sent(r.to.Name, "reject"))
	r.s.hold("answer", "reject")
	id = r.offer(from)
	r.s.release(1)
	if got := r.s.sent(r.to.Name, "reject")[rejects:]; len(got) > 0 {
		r.s.t.Fatalf("%s rejected a call of %s: %v", r.to.Name, from, got)
	}
	return id
}

// gaveWay returns the ids of the calls that from has left because it was busy.
func (s *fakeServer) gaveWay(from string) (ids []string) {
	for _, m := range s.sent(from, "leave") {
		if m["reason"] == protocol.ReasonBusy {
			ids = append(ids, str(m["call"]))
		}
	}
	return ids
}

// wantTalking checks that two people have a call and have seen no other one.
func wantTalking(a, b *webtest.Person) {
	a.T.Helper()
	for p, other := range map[*webtest.Person]*webtest.Person{a: b, b: a} {
		p.WantText("#peer", other.Name)
		p.WantText("#status", "Connected, direct")
		const shown = `document.querySelectorAll("#messages > *").length`
		if got := webtest.Eval[int](p, shown); got != 1 {
			p.T.Errorf("%s sees %d messages and notes, want a note of one call", p.Name, got)
		}
	}
}

// A call that never connects keeps nobody else from calling. The person learns of it
// when it is over.
func TestUnconnectedCallIsNotBusy(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.join("mallory")
	people := patientPeople(t, s, "alice", "carol")
	alice, carol := people[0], people[1]
	mallory := s.ringer(alice)
	first := mallory.ring("mallory")
	if webtest.Eval[bool](alice, `document.getElementById("call").checkVisibility()`) {
		t.Error("a call is shown that has not connected")
	}
	s.inject("alice", message{"type": "leave", "name": "mallory", "call": first, "reason": "hangup"})
	alice.WantText("#find-hint", "mallory called, but no connection could be made.")
	mallory.ring("mallory")
	carol.Call("alice")
	wantTalking(alice, carol)
}

// A caller has one call that has not connected: the latest.
func TestOneUnconnectedCallPerCaller(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.join("mallory", "bob")
	alice := patientPeople(t, s, "alice")[0]
	r := s.ringer(alice)
	r.ring("bob")
	first := r.ring("mallory")
	r.ring("mallory")
	if got := s.gaveWay("alice"); len(got) != 1 || got[0] != first {
		t.Errorf("calls %v gave way, want %s alone", got, first)
	}
}

// Once there is no room for more calls that have not connected, the one goes that has
// had the longest time to connect.
func TestOldestUnconnectedCallGivesWay(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	names := []string{"mallory0", "mallory1", "mallory2", "mallory3"}
	s.join(names...)
	people := patientPeople(t, s, "alice", "carol")
	alice, carol := people[0], people[1]
	r := s.ringer(alice)
	first := r.ring(names[0])
	for _, name := range names[1:] {
		r.ring(name)
	}
	carol.Call("alice")
	wantTalking(alice, carol)
	if got := s.gaveWay("alice"); len(got) != 1 || got[0] != first {
		t.Errorf("calls %v gave way, want %s alone", got, first)
	}
}

// Of two callers the first to connect has the place. The person never sees anything of
// the second one, which is told so.
func TestSecondToConnectIsBusy(t *testing.T) {
	t.Parallel()
	const silent = `
		const create = RTCPeerConnection.prototype.createDataChannel;
		RTCPeerConnection.prototype.createDataChannel = function (label) {
			const channel = create.call(this, label);
			if (label === "control") channel.send = () => {};
			else channel.addEventListener("open", () => channel.send("not from alice"));
			return channel;
		};`
	for _, tt := range []struct{ name, script, want string }{
		{"a page", "", "bob is in another call."},
		{"one that sends texts without a hello", silent, "bob hung up."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			people := patientPeople(t, s, "alice", "bob")
			alice, bob := people[0], people[1]
			carol := newPerson(t, s, "carol", patient, tt.script)
			carol.SignIn("carol-password")
			s.hold("answer")
			carol.Call("bob")
			answer := <-s.held
			s.release(0)
			alice.Call("bob")
			wantTalking(alice, bob)
			if tt.script == "" {
				s.hold("leave") // the call itself says so, too
			}
			answer()
			carol.WantEnded(tt.want)
			wantTalking(alice, bob)
		})
	}
}

// To call someone who is calling is to accept that call.
func TestCallToSomeoneWhoIsCalling(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	people := patientPeople(t, s, "alice", "bob")
	alice, bob := people[0], people[1]
	s.hold("answer")
	bob.Call("alice")
	s.releaseAfter(1, func() {
		alice.Call("bob")
		alice.WantText("#status", "Connecting…")
	})
	wantTalking(alice, bob)
	if got := s.sent("alice", "offer"); len(got) > 0 {
		t.Errorf("got %v, want no offer: bob's call was there", got)
	}
}

// Whoever makes calls that never connect has to slow down, and costs little then.
func TestCallerThatNeverConnectsSlowsDown(t *testing.T) {
	t.Parallel()
	const offers = 100
	s := newFakeServer(t)
	s.join("mallory", "zoe")
	alice := patientPeople(t, s, "alice")[0]
	r := s.ringer(alice)
	begin := time.Now()
	ids := map[string]bool{r.ring("mallory"): true}
	for range offers {
		r.offer("mallory")
	}
	r.ringBehind("zoe")
	took := time.Since(begin).Seconds()
	for _, id := range s.gaveWay("alice") {
		ids[id] = true
	}
	if most := 1 + 3 + 0.5*took; float64(len(ids)) > most {
		t.Errorf("%d of %d offers made a call in %.1f s, want at most %.1f", len(ids), offers, took, most)
	}
	if got, most := len(s.sent("alice", "reject")), 5+took; float64(got) > most {
		t.Errorf("%d of %d offers were refused aloud in %.1f s, want at most %.1f", got, offers, took, most)
	}
}

// ringBehind offers a call of someone who is here, and waits until it has been answered,
// whatever else is sent before.
func (r ringer) ringBehind(from string) {
	r.s.t.Helper()
	r.s.hold("answer")
	defer r.s.release(0)
	for id := r.offer(from); ; {
		<-r.s.held
		for _, m := range r.s.sent(r.to.Name, "answer") {
			if m["call"] == id {
				return
			}
		}
	}
}
