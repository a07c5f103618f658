package signal

import (
	"errors"

	"github.com/gorilla/websocket"
)

// nextMessage waits for the next message to begin. Between messages the wait is
// ours and not the WebSocket library's, see socket; so pings and pongs that come
// meanwhile are taken here too.
func (c *conn) nextMessage() error {
	for {
		if err := c.waitReadable(); err != nil {
			return err
		}
		header, err := c.reader.Peek(2)
		if err != nil {
			return err
		}
		if took, err := c.takeControl(header[0], header[1]); err != nil || !took {
			return err
		}
	}
}

func (c *conn) waitReadable() error {
	for {
		c.sock.idle = true
		_, err := c.reader.Peek(1)
		c.sock.idle = false
		if !errors.Is(err, errIdle) {
			return err
		}
		if err := c.sock.wait(); err != nil {
			return err
		}
	}
}

// Layout of a frame's header (RFC 6455, section 5.2).
const (
	finBit     = 0x80
	maskBit    = 0x80
	maskLen    = 4
	maxControl = 125 // bytes of a control frame's payload
)

// takeControl handles a ping or pong, and reports false for all else: messages,
// close frames and what is not well formed are the library's.
func (c *conn) takeControl(b0, b1 byte) (bool, error) {
	size := int(b1 &^ maskBit)
	if b1&maskBit == 0 || size > maxControl {
		return false, nil
	}
	switch b0 {
	case finBit | websocket.PingMessage, finBit | websocket.PongMessage:
	default:
		return false, nil
	}
	frame, err := c.reader.Peek(2 + maskLen + size)
	if err != nil {
		return false, err
	}
	mask, masked := frame[2:2+maskLen], frame[2+maskLen:]
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = masked[i] ^ mask[i%maskLen]
	}
	c.reader.Discard(len(frame)) // cannot fail: it was peeked
	if b0 == finBit|websocket.PingMessage {
		c.answerPing(payload)
	} else {
		c.pong(payload)
	}
	return true, nil
}
