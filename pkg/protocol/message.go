package protocol

// FromClient is a message that a client sends: Login, Offer, Answer, Candidate,
// Candidates, Ringing, Accept, Reject, Renegotiate, Leave, Peers, ICE or Refresh.
type FromClient interface {
	fromClient() string // the "type"
	check() error
}

// FromServer is a message that the server sends: Hello, LoginReply, Joined, Left,
// PeerList, ICEServers, Expiring, GoAway, Error, or one that it carries from
// another client.
type FromServer interface {
	fromServer() string // the "type"
}

// Forwarded is a message that the server carries from one client to another.
type Forwarded interface {
	FromClient
	FromServer
	// Party returns the other party's name and the call's id, which is empty in
	// the plain form of the protocol.
	Party() (name, call string)
	// From returns the message as it is delivered: name is the sender and perms
	// are the sender's permissions, on offers and answers.
	From(name string, perms []string) Forwarded
}

// Login authenticates the connection and joins a room.
type Login struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	Token    string `json:"token,omitempty"`
	Resume   Resume `json:"resume,omitzero"`
	Last     uint64 `json:"last,omitempty"` // seq of the last message seen, with Resume.Secret
	Room     string `json:"room,omitempty"` // "" is the Lobby
}

// Description is an RTCSessionDescriptionInit: "offer" or "answer", and the SDP.
type Description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

// CandidateInit is an RTCIceCandidateInit. A null candidate, or one with an empty
// line, ends the candidates.
type CandidateInit struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid,omitempty"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex,omitempty"`
	UsernameFragment *string `json:"usernameFragment,omitempty"`
}

// Offer starts a call, or renegotiates it.
type Offer struct {
	Name        string      `json:"name"`
	Call        string      `json:"call,omitempty"`
	Offer       Description `json:"offer"`
	Permissions []string    `json:"permissions,omitempty"` // the sender's, set by the server
}

// Answer answers an offer.
type Answer struct {
	Name        string      `json:"name"`
	Call        string      `json:"call,omitempty"`
	Answer      Description `json:"answer"`
	Permissions []string    `json:"permissions,omitempty"` // the sender's, set by the server
}

// Candidate trickles one ICE candidate (RFC 8838); nil ends them.
type Candidate struct {
	Name      string         `json:"name"`
	Call      string         `json:"call,omitempty"`
	Candidate *CandidateInit `json:"candidate"`
}

// Candidates trickles up to [MaxCandidates] candidates at once.
type Candidates struct {
	Name       string           `json:"name"`
	Call       string           `json:"call,omitempty"`
	Candidates []*CandidateInit `json:"candidates"`
}

// Ringing says that the callee's person is being asked.
type Ringing struct {
	Name string `json:"name"`
	Call string `json:"call"`
}

// Accept says that the callee's person took the call.
type Accept struct {
	Name string `json:"name"`
	Call string `json:"call"`
}

// Reject says that the callee will not take the call.
type Reject struct {
	Name   string `json:"name"`
	Call   string `json:"call,omitempty"` // empty to a caller that sent none
	Reason string `json:"reason"`         // ReasonBusy, ReasonDeclined or ReasonUnsupported
}

// Renegotiate asks the caller for a new offer.
type Renegotiate struct {
	Name string `json:"name"`
	Call string `json:"call"`
}

// Leave hangs up. Without a name it hangs up all calls of the session.
type Leave struct {
	Name   string `json:"name,omitempty"`
	Call   string `json:"call,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Peers asks who is in the room. From then on the session is told who joins and
// leaves; a session that never asked is not. What changes is told in batches, 100 ms
// apart, each name once: a session that came and went in between is not told.
type Peers struct{}

// ICE asks for fresh ICE servers.
type ICE struct{}

// Refresh extends the session by an unspent room token of the same user and room,
// whose permissions replace the old ones. A LoginReply answers it.
type Refresh struct {
	Token string `json:"token"`
}

// Hello is the first message on every connection.
type Hello struct {
	Message  string   `json:"message"`
	Protocol string   `json:"protocol"`
	Session  string   `json:"session"`
	Features []string `json:"features"`
}

// LoginReply answers a login, and a refresh that was accepted.
type LoginReply struct {
	Success bool `json:"success"`

	// If not Success.
	Code       Code   `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter int    `json:"retryAfter,omitempty"` // seconds

	// If Success.
	Name        string      `json:"name,omitempty"`
	Room        string      `json:"room,omitempty"`
	Permissions []string    `json:"permissions,omitempty"`
	Session     string      `json:"session,omitempty"`
	Resume      string      `json:"resume,omitempty"`  // secret to resume the session with
	Last        uint64      `json:"last,omitempty"`    // the client's last message that arrived
	Expires     int64       `json:"expires,omitempty"` // end of the session, Unix seconds; 0 is never
	ICEServers  []ICEServer `json:"iceServers,omitempty"`
	ICEExpires  int64       `json:"iceExpires,omitempty"` // Unix seconds

	// ICETransportPolicy is what the room demands of RTCConfiguration: ICERelay or
	// nothing.
	ICETransportPolicy string `json:"iceTransportPolicy,omitempty"`
}

// Joined says who came into the room.
type Joined struct {
	Name string `json:"name"`
	Room string `json:"room"`
}

// Left says who is no longer in the room, and why.
type Left struct {
	Name   string `json:"name"`
	Room   string `json:"room"`
	Reason string `json:"reason,omitempty"`
}

// Peer is one entry of a PeerList.
type Peer struct {
	Name string `json:"name"`
}

// PeerList answers Peers: others in the room, sorted by name. In a room of more
// than [MaxPeers] it is any of them, so many.
type PeerList struct {
	Peers []Peer `json:"peers"`
	Total int    `json:"total"` // all others in the room
}

// ICEServer is an RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// ICEServers answers ICE.
type ICEServers struct {
	ICEServers []ICEServer `json:"iceServers"`
	ICEExpires int64       `json:"iceExpires,omitempty"` // Unix seconds
}

// Expiring says, a minute before, that the session ends.
type Expiring struct {
	Expires int64 `json:"expires"` // Unix seconds
}

// GoAway asks the client to move to another connection.
type GoAway struct {
	After int `json:"after"` // seconds until this connection is closed
}

// Error says what was wrong with a message. It is the answer to the faulty frame
// and, in Go, the error that decoding that frame returns.
type Error struct {
	Code       Code   `json:"code"`
	Message    string `json:"message"`
	Name       string `json:"name,omitempty"`
	Call       string `json:"call,omitempty"`
	RetryAfter int    `json:"retryAfter,omitempty"` // seconds
}

// Error returns the text and the code.
func (e Error) Error() string { return e.Message + " (" + string(e.Code) + ")" }

func (Login) fromClient() string       { return "login" }
func (Offer) fromClient() string       { return "offer" }
func (Answer) fromClient() string      { return "answer" }
func (Candidate) fromClient() string   { return "candidate" }
func (Candidates) fromClient() string  { return "candidates" }
func (Ringing) fromClient() string     { return "ringing" }
func (Accept) fromClient() string      { return "accept" }
func (Reject) fromClient() string      { return "reject" }
func (Renegotiate) fromClient() string { return "renegotiate" }
func (Leave) fromClient() string       { return "leave" }
func (Peers) fromClient() string       { return "peers" }
func (ICE) fromClient() string         { return "ice" }
func (Refresh) fromClient() string     { return "refresh" }

func (Hello) fromServer() string         { return "hello" }
func (LoginReply) fromServer() string    { return "login" }
func (m Offer) fromServer() string       { return m.fromClient() }
func (m Answer) fromServer() string      { return m.fromClient() }
func (m Candidate) fromServer() string   { return m.fromClient() }
func (m Candidates) fromServer() string  { return m.fromClient() }
func (m Ringing) fromServer() string     { return m.fromClient() }
func (m Accept) fromServer() string      { return m.fromClient() }
func (m Reject) fromServer() string      { return m.fromClient() }
func (m Renegotiate) fromServer() string { return m.fromClient() }
func (m Leave) fromServer() string       { return m.fromClient() }
func (Joined) fromServer() string        { return "joined" }
func (Left) fromServer() string          { return "left" }
func (PeerList) fromServer() string      { return "peers" }
func (ICEServers) fromServer() string    { return "ice" }
func (Expiring) fromServer() string      { return "expiring" }
func (GoAway) fromServer() string        { return "goaway" }
func (Error) fromServer() string         { return "error" }
