// Package admin carries calls from the commands of sigctl to the server that
// runs on the same machine, through its admin socket. Package user calls the
// server's store with it, cmd/sigctl all else.
//
// A Method, or a List where the answer is long, is declared once and is both
// halves:
//
//	var kick = admin.Method[KickRequest, KickAnswer]{
//		Path:   "/sessions/kick",
//		Errors: []admin.Error{{Code: "not_found", Status: 404, Err: ErrNoSession}},
//	}
//
//	kick.Handle(mux, func(ctx context.Context, in KickRequest) (KickAnswer, error) { … }) // the server
//
//	client, err := admin.Dial(ctx, socket) // the command
//	…
//	answer, err := kick.Call(ctx, client, KickRequest{Name: "alice"}) // ErrNoSession keeps its identity and text
//
// On the wire a call is a POST of one JSON object, an answer a line of JSON per
// value, an error {"code", "message"} with the status and code of its Error. The
// server does not ask who calls: its mux belongs on a socket of mode 0600 alone.
package admin

import (
	"errors"
	"net/http"
)

// Method is a call that gives one Out, which has 1 MiB of JSON at most. Where
// there is nothing to say, In or Out is struct{}.
type Method[In, Out any] struct {
	Path   string  // as in "/sessions/kick"
	Errors []Error // beside those of every call
}

// List is a call that gives any number of Out.
type List[In, Out any] struct {
	Path   string
	Errors []Error
	// Max is how many the client takes, of 1 KiB of JSON on average. Default
	// 100 000. It is for a server gone mad: what a List may give, the server bounds.
	Max int
}

// Error is an error that travels: what the server's function returns and is Err,
// is Err at the client too, with the same text. The first that fits counts.
type Error struct {
	Code   string // as in "not_found"; unique in a method
	Status int    // of HTTP
	Err    error
}

// ErrNotServing is what Dial returns if nothing listens on the socket.
var ErrNotServing = errors.New("no server is running here")

// ErrBadRequest is the answer to what is not a JSON object of In, with no other
// fields, or is longer than 64 KiB.
var ErrBadRequest = errors.New("bad request")

const (
	maxRequest = 64 << 10 // bytes
	maxAnswer  = 1 << 20
	maxLine    = 1 << 10 // on average
	defaultMax = 100_000
)

var badRequest = Error{"bad_request", http.StatusBadRequest, ErrBadRequest}

// errorBody is an error on the wire.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
