//go:build integration

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A hang-up is to be seen within a second. What would be seen if the word of it
// got lost comes after 5 s at the earliest (ICE's first doubt), so up to 4 s it was
// the word that came, on a machine that may be loaded. The time is always said.
const hangupLimit = 4 * time.Second

func wantSoon(t *testing.T, what string, from, to time.Time) {
	t.Helper()
	took := to.Sub(from)
	t.Logf("%s after %v", what, took.Round(time.Millisecond))
	if took > hangupLimit {
		t.Errorf("%s after %v, want %v at most", what, took, hangupLimit)
	}
}

// watchEnd makes the page note when its call ends.
func (p *person) watchEnd() {
	p.t.Helper()
	eval[bool](p, `(() => {
		window.endedAt = 0;
		new MutationObserver(() => {
			if (!document.getElementById("ended").hidden) window.endedAt ||= Date.now();
		}).observe(document.getElementById("ended"), {attributes: true});
		return true;
	})()`)
}

// wantEnd waits until the call has ended, and returns when that was.
func (p *person) wantEnd() time.Time {
	p.t.Helper()
	p.waitFor("window.endedAt > 0")
	return p.clock("window.endedAt")
}

// hangUp presses the button and returns when that was.
func (p *person) hangUp() time.Time {
	p.t.Helper()
	return p.clock(`(() => { const now = Date.now(); document.getElementById("hangup").click(); return now; })()`)
}

func TestTwoPages(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	user1, user2 := s.pageSignedIn("user1"), s.pageSignedIn("user2")
	user2.call("user1")
	code1, code2 := user1.wantPath("direct"), user2.wantPath("direct")
	if code1 != code2 || len(code1) != 35 {
		t.Errorf("safety codes %q and %q", code1, code2)
	}
	user1.says("hello")
	user2.wantHeard("hello")
	user2.says("hello yourself")
	user1.wantHeard("hello yourself")
	user2.watchEnd()
	wantSoon(t, "hang-up seen by the other page", user1.hangUp(), user2.wantEnd())
}

func TestPageCallsChat(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	user1, page := s.chat("user1"), s.pageSignedIn("user2")
	page.call("user1")
	wantConversation(t, user1, page, "direct", "direct")
	page.watchEnd()
	user1.saysNoMore() // the callee does not hang up at the end of its input
	pressed := page.hangUp()
	_, seen := user1.await(user1.err, "^Call with user2 ended")
	wantSoon(t, "page's hang-up seen by chat", pressed, seen)
	user1.wantExit(0)
}

func TestChatCallsPage(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	wantConversation(t, user2, page, "direct", "direct")
	page.watchEnd()
	asked := time.Now()
	user2.saysNoMore()
	wantSoon(t, "chat's hang-up seen by the page", asked, page.wantEnd())
	user2.wantExit(0)
}

func TestInterruptedChatLeavesPage(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	user2.wantPath("direct")
	page.wantPath("direct")
	page.watchEnd()
	wantSoon(t, "interrupted chat seen by the page", user2.signal(os.Interrupt), page.wantEnd())
	user2.wantExit(130)
}

// A page that is reloaded hangs up, and its user can sign in again at once.
func TestReloadedPageHangsUp(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	wantConversation(t, user2, page, "direct", "direct")
	reloaded := time.Now()
	page.do(chromedp.Reload())
	_, seen := user2.await(user2.err, "^Call with user1 ended")
	wantSoon(t, "reload seen by chat", reloaded, seen)
	page.signIn("password1")
	page.wantText("#me", "user1")
}

func TestRelayedPage(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1", "--relay")
	wantConversation(t, user2, page, "relay", "relayed")
}

// wantConversation checks a call of a terminal and a page: path, safety code, and
// texts both ways.
func wantConversation(t *testing.T, chat *process, page *person, chatPath, pagePath string) {
	t.Helper()
	if chatCode, pageCode := chat.wantPath(chatPath), page.wantPath(pagePath); chatCode != pageCode {
		t.Errorf("safety codes differ: %s and %s", chatCode, pageCode)
	}
	chat.says("hello, page")
	page.wantHeard("hello, page")
	page.says("hello, terminal: ж 🎈")
	chat.wantLine(page.name + ": hello, terminal: ж 🎈")
}

func TestPageSignIn(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.page("user1")
	page.signIn("wrong")
	page.wantText("#signin-error", "Wrong name or password.")
	page.signIn("password1")
	page.wantText("#me", "user1")
	second := s.page("user1")
	second.signIn("password1")
	second.wantText("#signin-error", "This name is already in use. Sign out there first.")
	s.startChat("user1", nil).wantExit(3)
	page.click("#signout")
	s.wantStatus(`msg="session ended" user=user1`)
	second.signIn("password1")
	second.wantText("#me", "user1")
}
