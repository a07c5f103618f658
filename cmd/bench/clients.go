package main

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// login opens n connections, logged in as user0 and so on.
func (s *server) login(ctx context.Context, n int) ([]*websocket.Conn, error) {
	conns := make([]*websocket.Conn, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(20)
	for i := range n {
		g.Go(func() (err error) {
			conns[i], err = s.loginOne(ctx, userName(i))
			return err
		})
	}
	return conns, g.Wait()
}

func (s *server) loginOne(ctx context.Context, name string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
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

func closeAll(conns []*websocket.Conn) {
	for _, ws := range conns {
		if ws != nil {
			ws.Close()
		}
	}
}
