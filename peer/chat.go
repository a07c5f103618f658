package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	maxText         = 16 << 10 // bytes of one text
	maxWaitingTexts = 64       // received and not yet taken by Recv; then SCTP pushes back
)

// Send sends one text, UTF-8 of at most 16384 bytes, and returns when it is on its
// way; [Call.Flush] waits for its arrival. Send waits while the other side does not
// take what was sent before.
func (c *Call) Send(ctx context.Context, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("send: %w", ErrTooLong)
	}
	if !utf8.ValidString(text) {
		return errors.New("send: text is not valid UTF-8")
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	c.counts.add(1) // before its receipt can come
	if err := c.link.chat.write(ctx, []byte(text), true); err != nil {
		c.counts.add(-1)
		return fmt.Errorf("send: %w", c.why(err))
	}
	return nil
}

// Flush returns when the other side's application has taken everything sent so
// far. A plain page sends no receipts: then it returns when everything has arrived
// there.
func (c *Call) Flush(ctx context.Context) error {
	if c.plain {
		ctx, stop := c.whileItLasts(ctx)
		defer stop()
		if err := c.link.chat.drain(ctx); err != nil {
			return fmt.Errorf("flush: %w", c.why(err))
		}
		return nil
	}
	for {
		moved := c.counts.pending()
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-c.ctx.Done():
			return fmt.Errorf("flush: %w", c.Err())
		case <-ctx.Done():
			return fmt.Errorf("flush: %w", ctx.Err())
		}
	}
}

// Recv returns the other side's next text. After the end of the call it returns
// what had arrived, then the reason, as Err does.
func (c *Call) Recv(ctx context.Context) (string, error) {
	select {
	case text := <-c.texts:
		c.took()
		return text, nil
	default:
	}
	select {
	case text := <-c.texts:
		c.took()
		return text, nil
	case <-c.finished:
		select {
		case text := <-c.texts:
			return text, nil
		default:
			return "", c.Err()
		}
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// whileItLasts returns a context that ends with ctx and with the call.
func (c *Call) whileItLasts(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { detach(); cancel() }
}

func (c *Call) took() {
	c.counts.take()
	select {
	case c.link.took <- struct{}{}:
	default:
	}
}

// why prefers the reason for the call's end to the error it caused.
func (c *Call) why(err error) error {
	if ended := c.Err(); ended != nil {
		return ended
	}
	return err
}

// readChat reads the other side's texts. It waits while Recv does not take them, and
// SCTP then makes the sender wait. The end of the channel is the end of the call.
func (l *link) readChat() {
	buf := make([]byte, maxText)
	for {
		n, _, err := l.chat.raw.ReadDataChannel(buf)
		if err == nil && !utf8.Valid(buf[:n]) {
			err = fmt.Errorf("%w: text is not valid UTF-8", ErrProtocol)
		}
		if errors.Is(err, io.ErrShortBuffer) {
			err = fmt.Errorf("%w: text of more than %d bytes", ErrProtocol, maxText)
		}
		if errors.Is(err, ErrProtocol) {
			l.call.fail("read chat", err)
			return
		}
		if err != nil {
			l.postWait(l.closedByPeer)
			return
		}
		select {
		case l.call.texts <- string(buf[:n]):
		case <-l.ctx.Done():
			return
		}
	}
}
