//go:build integration

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// wantEnd waits until the page's call has ended, and checks what it says of that.
func (p *person) wantEnd(text string) {
	p.t.Helper()
	p.waitFor(`!document.getElementById("ended").hidden`)
	if got := eval[string](p, `document.getElementById("ended-text").textContent`); got != text {
		p.t.Errorf("%s's page says %q at the end, want %q", p.name, got, text)
	}
}

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
	user2.call("user1")
	code1, code2 := user1.wantPath("direct"), user2.wantPath("direct")
	if code1 != code2 || len(code1) != 35 {
		t.Errorf("safety codes %q and %q", code1, code2)
	}
	user1.says("hello")
	user2.wantHeard("hello")
	user2.says("hello yourself")
	user1.wantHeard("hello yourself")
	user1.click("#hangup")
	user2.wantEnd("user1 hung up.")
}

func TestPageCallsChat(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	user1, page := s.chat("user1"), s.pageSignedIn("user2")
	page.call("user1")
	wantConversation(t, user1, page, "direct", "direct")
	user1.saysNoMore() // the callee does not hang up at the end of its input
	page.click("#hangup")
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
	page.wantEnd("user2 hung up.")
	user2.wantExit(0)
}

func TestInterruptedChatLeavesPage(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo", "--turn", "off")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	user2.wantPath("direct")
	page.wantPath("direct")
	user2.signal(os.Interrupt)
	page.wantEnd("user2 hung up.")
	user2.wantExit(130)
}

// A page that is reloaded hangs up, and its user can sign in again at once.
func TestReloadedPageHangsUp(t *testing.T) {
	t.Parallel()
	s := serveForBrowser(t, "--demo")
	page := s.pageSignedIn("user1")
	user2 := s.chat("user2", "--call", "user1")
	wantConversation(t, user2, page, anyPath, "direct|relayed")
	page.do(chromedp.Reload())
	user2.wantHangup("user1")
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
