package signal

import (
	"net/http"
	"testing"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// From a password to a session, as a page or chat goes.
func TestTokenJourney(t *testing.T) {
	as := newAccessServer(t)
	status, answer := as.do("GET", protocol.PathJoin+"?room=team", as.access("user1"), "")
	if status != http.StatusOK || answer["room"] != "team" || answer["user"] != "user1" || answer["url"] != "wss://signal.example.com" ||
		answer["ttl"].(float64) < 500 || len(answer["iceServers"].([]any)) != 1 {
		t.Fatalf("join = %d %v", status, answer)
	}
	text := answer["token"].(string)
	if status, answer := as.do("GET", protocol.PathValidate, text, ""); status != http.StatusOK || answer["room"] != "team" {
		t.Errorf("validate = %d %v", status, answer)
	}
	if status, answer := as.do("POST", protocol.PathICE, text, ""); status != http.StatusOK || answer["ttl"].(float64) < 500 {
		t.Errorf("ice = %d %v", status, answer)
	}
	c := as.loginWith(text)
	got := c.want(`{"type":"login","success":true,"name":"user1","room":"team","permissions":["join","data","publish","subscribe"]}`)
	if got["expires"] == nil {
		t.Errorf("login with a token does not say when the session ends: %v", got)
	}
	if status, answer := as.do("GET", protocol.PathValidate, text, ""); status != http.StatusUnauthorized || answer["code"] != "token_replayed" {
		t.Errorf("validate of a spent token = %d %v", status, answer)
	}
	var kinds []audit.Kind
	for _, e := range as.audit.take(t) {
		kinds = append(kinds, e.Kind)
	}
	want := []audit.Kind{audit.Login, audit.TokenIssued, audit.TokenIssued, audit.Login, audit.Join, audit.TokenReplayed}
	if len(kinds) != len(want) {
		t.Fatalf("audit holds %v, want %v", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Fatalf("audit holds %v, want %v", kinds, want)
		}
	}
}
