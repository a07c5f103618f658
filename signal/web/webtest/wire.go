//go:build integration

package webtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/gorilla/websocket"
)

// wire carries commands to a browser. Both protocols send JSON objects over a
// WebSocket: a command and its result have the same id, and events have a method.
// Commands are carried out in the order in which they were sent.
type wire struct {
	ws      *websocket.Conn
	onEvent func(session, method string, params json.RawMessage) // called by the reader
	done    chan struct{}                                        // closed when the reader has ended

	mu      sync.Mutex
	lastID  int                   // guarded by mu
	waiting map[int]chan<- answer // guarded by mu; nil when the reader has ended
}

// command is what is sent. Only Chromium has sessions, one per tab.
type command struct {
	ID      int    `json:"id"`
	Session string `json:"sessionId,omitempty"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

// answer is what comes: a result, an error or an event.
type answer struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
	Message string          `json:"message"` // Firefox: of the error
}

var errLost = errors.New("the browser has ended")

type object = map[string]any

func dial(address string, onEvent func(session, method string, params json.RawMessage)) (*wire, error) {
	ws, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to the browser: %w", err)
	}
	w := &wire{ws: ws, onEvent: onEvent, done: make(chan struct{}), waiting: map[int]chan<- answer{}}
	go w.read()
	return w, nil
}

func (w *wire) read() {
	defer close(w.done)
	for {
		var a answer
		if err := w.ws.ReadJSON(&a); err != nil {
			break
		}
		if a.Method != "" {
			w.onEvent(a.Session, a.Method, a.Params)
			continue
		}
		w.mu.Lock()
		to := w.waiting[a.ID]
		delete(w.waiting, a.ID)
		w.mu.Unlock()
		if to != nil {
			to <- a
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, to := range w.waiting {
		close(to)
	}
	w.waiting = nil
}

// send sends a command, whose result comes on the channel.
func (w *wire) send(session, method string, params any) <-chan answer {
	to := make(chan answer, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		close(to)
		return to
	}
	w.lastID++
	w.waiting[w.lastID] = to
	if err := w.ws.WriteJSON(command{w.lastID, session, method, params}); err != nil {
		w.ws.Close() // the reader tells whoever waits
	}
	return to
}

// call sends a command and waits for its result, which may be nil.
func (w *wire) call(ctx context.Context, session, method string, params, result any) error {
	return receive(ctx, method, w.send(session, method, params), result)
}

func receive(ctx context.Context, method string, from <-chan answer, result any) error {
	select {
	case a, ok := <-from:
		switch {
		case !ok:
			return errLost
		case a.Error != nil:
			return fmt.Errorf("%s: %s %s", method, a.Error, a.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (w *wire) close() {
	w.ws.Close()
	<-w.done
}
