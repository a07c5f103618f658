// Package audit keeps the record of what happened to the security of a server: who signed in, who was refused and why,
// which tokens were issued, replayed and revoked, what the administrator did.
//
// The signaling server and the relay's owner call it. Record returns when the line is written, so a server that records
// first and answers then has every effect that somebody can see on record:
//
//	log, err := audit.Open("/var/log/sigctl/audit.log", nil)
//	…
//	defer log.Close()
//	err = log.Record(audit.Event{Kind: audit.Login, Code: protocol.CodeBadCredentials, User: name, Source: "password", Address: addr})
//
// # Format
//
// A line is a JSON object. Fields that are empty are left out, but for the first three:
//
//	time      when, RFC 3339 in UTC with milliseconds
//	event     what: login, join, refused, token_issued, token_refused, token_replayed, revoked, kick, admin,
//	          policy_reload, allocation, session_end
//	outcome   ok or refused
//	code      why, for programs: the code that the client got, such as bad_credentials
//	why       why, for people
//	user      whom it is about
//	source    what the user is known by: password, token, certificate, or oidc: and the issuer
//	address   where the request came from, as a trusted proxy gave it, without port and zone
//	room      the room
//	session   the session's id
//	peer      the other user, or the relay's peer
//	message   the type of a message that was refused, such as offer
//	token     the id of a token (jti), never the token
//	actor     who did it, if not the user: admin
//	repeated  how many of these there were, see below
//
// Names and meanings stay; fields and events may be added. Every text is cut at 256 bytes, and ends in … then; what a
// terminal would act upon is escaped or replaced. There is no field for passwords, tokens, keys or descriptions.
//
// # Floods
//
// What clients cause cannot push the rest out of the log. Of each sort of event (kind, code and
// source together) there are 100 lines at once, and then one a second, of each user who has proved to
// be that user, and of each address group for all others. For all others together it is 1000 lines
// at once, and then one a second. Events with code rate_limited have no such lines.
//
// Above that, events make two lines a minute: the first one at once, and when the minute is over, or
// at Close, another one that says how many followed, with nothing but time, event, outcome, code,
// source, the user who has proved to be that user, the first one's address, and repeated. Where the
// lines for all are used up, or 4096 floods are counted apart in a minute, others of a sort are
// counted together, without user and address. What the operator does is one line each, always: admin,
// kick, revoked, policy_reload, and what has an actor.
package audit

import (
	"net/netip"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	Login         Kind = "login"          // an attempt to sign in
	Join          Kind = "join"           // of a room
	Refused       Kind = "refused"        // a message or request that is not one of the others
	TokenIssued   Kind = "token_issued"   // to User
	TokenRefused  Kind = "token_refused"  // for any reason but the next
	TokenReplayed Kind = "token_replayed" // one that was spent already
	Revoked       Kind = "revoked"        // what User holds from before: tokens, resume secrets, relay credentials
	Kick          Kind = "kick"           // a session that the administrator ended
	Admin         Kind = "admin"          // what else the administrator did
	PolicyReload  Kind = "policy_reload"  // the rules were read again; refused: the old ones stay
	Allocation    Kind = "allocation"     // of a relay address
	SessionEnd    Kind = "session_end"    // Why is the label of the close code
)

// Outcome is how it went.
type Outcome string

// The outcomes of events.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeRefused Outcome = "refused"
)

// Event is one line of the record; the package's comment says what its fields mean. Nothing secret belongs in it.
type Event struct {
	Time     time.Time     `json:"time"` // zero: when it is recorded
	Kind     Kind          `json:"event"`
	Outcome  Outcome       `json:"outcome"` // empty: refused if there is a Code, else ok
	Code     protocol.Code `json:"code,omitempty"`
	Why      string        `json:"why,omitempty"`
	User     string        `json:"user,omitempty"`
	Source   string        `json:"source,omitempty"`
	Address  netip.Addr    `json:"address,omitzero"`
	Room     string        `json:"room,omitempty"`
	Session  string        `json:"session,omitempty"`
	Peer     string        `json:"peer,omitempty"`
	Message  string        `json:"message,omitempty"`
	Token    string        `json:"token,omitempty"`
	Actor    string        `json:"actor,omitempty"`
	Repeated int           `json:"repeated,omitempty"` // set by the Log
}
