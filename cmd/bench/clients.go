package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// client is a connection that is logged in. It is read all the time: the server closes one that does
// not answer pings.
type client struct {
	ws       *websocket.Conn
	messages chan struct{} // one for each message, up to maxMessages; closed when reading has ended
	err      error         // why, set before
}

// maxMessages is how many messages a client gets at most.
const maxMessages = rate * seconds / pairs

func newClient(ws *websocket.Conn) *client {
	c := &client{ws: ws, messages: make(chan struct{}, maxMessages)}
	go c.read()
	return c
}

func (c *client) read() {
	defer close(c.messages)
	for {
		if _, _, c.err = c.ws.ReadMessage(); c.err != nil {
			return
		}
		select {
		case c.messages <- struct{}{}:
		default: // nobody counts these
		}
	}
}

// close closes the connection and waits until reading has ended.
func (c *client) close() {
	c.ws.Close()
	for range c.messages {
	}
}

// login opens n connections, logged in as user0 and so on.
func (s *server) login(ctx context.Context, n int) ([]*client, error) {
	clients := make([]*client, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(20)
	for i := range n {
		g.Go(func() error {
			ws, err := s.loginOne(ctx, userName(i))
			if err == nil {
				clients[i] = newClient(ws)
			}
			return err
		})
	}
	return clients, g.Wait()
}

// source dials from an address of Linux's loopback network, the same for 200 connections in a row: the
// server bounds how many one address begins.
func (s *server) source() *net.Dialer {
	n := s.dialed.Add(1) / 200
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/250%250), byte(1+n%250))}}
}

func (s *server) loginOne(ctx context.Context, name string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		NetDialContext:  s.source().DialContext,
		ReadBufferSize:  1 << 10,
		WriteBufferSize: 1 << 10,
		// The server is our own child on loopback.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	scheme := "wss"
	if s.plain {
		scheme = "ws"
	}
	ws, _, err := dialer.DialContext(ctx, scheme+"://"+s.addr+"/ws", nil)
	if err != nil {
		return nil, err
	}
	frame, err := protocol.EncodeClient("", protocol.Login{Name: name, Password: password})
	if err != nil {
		return nil, err
	}
	if err := ws.WriteMessage(websocket.TextMessage, frame); err != nil {
		return nil, err
	}
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return nil, err
		}
		ev, err := protocol.DecodeServer(frame)
		if err != nil {
			return nil, err
		}
		if reply, ok := ev.Message.(protocol.LoginReply); ok {
			if !reply.Success {
				return nil, fmt.Errorf("login as %s: %s", name, reply.Message)
			}
			return ws, nil
		}
	}
}

func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.close()
		}
	}
}
