//go:build integration

package web

import (
	"fmt"
	"os"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// The browsers of all tests.
var (
	chromium = webtest.Lazy{Start: func() (*webtest.Browser, error) { return webtest.StartChromium("--ignore-certificate-errors") }}
	firefox  = webtest.Lazy{Start: webtest.StartFirefox}
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		defer chromium.Close()
		defer firefox.Close()
		return m.Run()
	}())
}

// newPerson opens the page. Scripts run in it before the page's own.
func newPerson(t *testing.T, s *fakeServer, name string, scripts ...string) *webtest.Person {
	t.Helper()
	p := chromium.Person(t, name, scripts...)
	p.Navigate(s.URL)
	return p
}

// hurried makes the page's timers of about some ms expire at once.
func hurried(ms int) string {
	return fmt.Sprintf(`
		const wait = setTimeout;
		window.setTimeout = (then, ms, ...rest) => wait(then, ms > 0.9 * %[1]d && ms < 2 * %[1]d ? 10 : ms, ...rest);`, ms)
}

// signedIn returns people who are signed in and see each other.
func signedIn(t *testing.T, s *fakeServer, names ...string) []*webtest.Person {
	t.Helper()
	var people []*webtest.Person
	for _, name := range names {
		p := newPerson(t, s, name)
		p.SignIn(name + "-password")
		p.WantVisible("#app")
		people = append(people, p)
	}
	return people
}

// inCall returns two people whose call is open.
func inCall(t *testing.T, s *fakeServer) (alice, bob *webtest.Person) {
	t.Helper()
	people := signedIn(t, s, "alice", "bob")
	alice, bob = people[0], people[1]
	alice.Call("bob")
	for _, p := range people {
		p.WantText("#status", "Connected, direct")
	}
	return alice, bob
}
