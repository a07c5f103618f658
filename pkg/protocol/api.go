package protocol

// The paths of the HTTP API. Requests and answers are JSON, errors an [Error];
// tokens go in the Authorization header (RFC 6750, section 2.1), never in a URL.
//
//	POST PathLogin            LoginRequest         → AccessToken
//	POST PathJoin, GET ?room= JoinRequest, Bearer  → RoomToken
//	POST PathICE              Bearer room token    → ICEReply
//	GET  PathValidate         Bearer room token    → Validity
//	GET  PathJWKS                                  → a JWK set (RFC 7517)
const (
	PathLogin    = "/api/login"
	PathJoin     = "/api/rooms/join"
	PathICE      = "/api/ice"
	PathValidate = "/api/validate"
	PathJWKS     = "/.well-known/jwks.json"
)

// LoginRequest asks for an access token. Over a connection with a client
// certificate both fields may be empty.
type LoginRequest struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
}

// AccessToken asks for room tokens, as often as it is wanted until it expires.
type AccessToken struct {
	Token   string `json:"token"`
	User    string `json:"user"`
	Expires int64  `json:"expires"` // Unix seconds
}

// JoinRequest asks for a room token, with an access token or one of an outside
// issuer.
type JoinRequest struct {
	Room        string   `json:"room,omitempty"`        // "" is the Lobby
	Permissions []string `json:"permissions,omitempty"` // those wanted; none: all that are granted
}

// RoomToken signs one session in, by [Login] or [Refresh].
type RoomToken struct {
	Token              string      `json:"token"`
	User               string      `json:"user"`
	Room               string      `json:"room"`
	Permissions        []string    `json:"permissions"`
	ICEServers         []ICEServer `json:"iceServers"`
	ICETransportPolicy string      `json:"iceTransportPolicy,omitempty"` // ICERelay or nothing
	TTL                int         `json:"ttl"`                          // of the token and the servers' credentials, seconds
	URL                string      `json:"url"`                          // of the WebSocket
}

// ICEReply holds fresh ICE servers.
type ICEReply struct {
	ICEServers         []ICEServer `json:"iceServers"`
	ICETransportPolicy string      `json:"iceTransportPolicy,omitempty"` // ICERelay or nothing
	TTL                int         `json:"ttl"`                          // seconds; 0: they have no credentials
}

// Validity says what a room token, with which a login would succeed now, is good
// for.
type Validity struct {
	User        string   `json:"user"`
	Room        string   `json:"room"`
	Permissions []string `json:"permissions"`
	Expires     int64    `json:"expires"` // Unix seconds
}
