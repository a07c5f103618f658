//go:build integration

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/signal/web/webtest"
)

// wantHangup waits until a chat's call with somebody has ended because they hung up: not because
// nothing comes from them any more, which takes ICE 5 s at least to notice.
func (p *process) wantHangup(by string) {
	p.t.Helper()
	if got := p.wantStatus("^Call with " + by + " ended: (.*)")[1]; !strings.Contains(got, "hung up") {
		p.t.Errorf("%s: the call ended for the reason %q, want that %s hung up", p.name, got, by)
	}
}

func TestTwoPages(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	user1, user2 := s.pageSignedIn("user1"), s.pageSignedIn("user2")
	user2.Call("user1")
	code1, code2 := wantPagePath(user1, "direct"), wantPagePath(user2, "direct")
	if code1 != code2 || len(code1) != 35 {
		t.Errorf("safety codes %q and %q", code1, code2)
	}
	user1.Say("hello")
	user2.WantHeard("hello")
	user2.Say("hello yourself")
	user1.WantHeard("hello yourself")
	user1.Click("#hangup")
	user2.WantEnded("user1 hung up.")
}

// People who type in Firefox, in Chromium and in a terminal talk to each other.
func TestFirefox(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	s.add("user3")
	page, terminal := s.signedIn(s.pageIn(&firefox, "user1")), s.chat("user3")
	chromium := s.pageSignedIn("user2")
	chromium.Call("user1")
	if code1, code2 := wantPagePath(page, "direct"), wantPagePath(chromium, "direct"); code1 != code2 {
		t.Errorf("safety codes %q and %q", code1, code2)
	}
	page.Say("hello, Chromium")
	chromium.WantHeard("hello, Chromium")
	chromium.Say("hello, Firefox")
	page.WantHeard("hello, Firefox")
	page.Click("#hangup")
	chromium.WantEnded("user1 hung up.")
	page.Call("user3")
	wantConversation(t, terminal, page, "direct", "direct")
	page.Click("#hangup")
	terminal.wantHangup("user1")
}

func TestPageCallsChat(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	user1, page := s.chat("user1"), s.pageSignedIn("user2")
	page.Call("user1")
	wantConversation(t, user1, page, "direct", "direct")
	user1.saysNoMore() // the callee does not hang up at the end of its input
	page.Click("#hangup")
	user1.wantHangup("user2")
	user1.wantExit(0)
}

func TestChatCallsPage(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	wantConversation(t, user2, page, "direct", "direct")
	user2.saysNoMore()
	page.WantEnded("user2 hung up.")
	user2.wantExit(0)
}

func TestInterruptedChatLeavesPage(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	user2.wantPath("direct")
	wantPagePath(page, "direct")
	user2.signal(os.Interrupt)
	page.WantEnded("user2 hung up.")
	user2.wantExit(130)
}

// A page that is reloaded hangs up, and its user can sign in again at once.
func TestReloadedPageHangsUp(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	wantConversation(t, user2, page, anyPath, "direct|relayed")
	page.Reload()
	user2.wantHangup("user1")
	page.SignIn("password1")
	page.WantText("#me", "user1")
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
func wantConversation(t *testing.T, chat *process, page *webtest.Person, chatPath, pagePath string) {
	t.Helper()
	if chatCode, pageCode := chat.wantPath(chatPath), wantPagePath(page, pagePath); chatCode != pageCode {
		t.Errorf("safety codes differ: %s and %s", chatCode, pageCode)
	}
	chat.says("hello, page")
	page.WantHeard("hello, page")
	page.Say("hello, terminal: ж 🎈")
	chat.wantLine(page.Name + ": hello, terminal: ж 🎈")
}

func TestPageSignIn(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.page("user1")
	page.SignIn("wrong")
	page.WantText("#signin-error", "Wrong name or password.")
	page.SignIn("password1")
	page.WantText("#me", "user1")
	second := s.page("user1")
	second.SignIn("password1")
	second.WantText("#signin-error", "This name is already in use. Sign out there first.")
	s.startChat("user1", nil).wantExit(3)
	page.Click("#signout")
	s.wantStatus(`msg="session ended" user=user1`)
	second.SignIn("password1")
	second.WantText("#me", "user1")
}
