package stream

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// pieces is a connection that bears data, step bytes a Read, and then ends.
type pieces struct {
	net.Conn // nil: nothing else is called
	data     []byte
	step     int
	ends     int // how often the end was read
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		p.ends++
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.step)], p.data)
	p.data = p.data[n:]
	return n, nil
}

func (p *pieces) SetReadDeadline(time.Time) error { return nil }
func (p *pieces) LocalAddr() net.Addr             { return nil }
func (p *pieces) RemoteAddr() net.Addr            { return nil }
func (p *pieces) Close() error                    { return nil }

// readAll returns the messages of nc, and what ended it.
func readAll(nc *pieces, datagrams, kept bool) (messages []string, end error) {
	a := &Acceptor{Handle: func(c *Conn) {
		c.Keep(kept)
		for {
			m, err := c.ReadMessage()
			if err != nil {
				end = err
				return
			}
			messages = append(messages, string(m))
		}
	}}
	a.serve(nc, datagrams)
	a.Close()
	return messages, end
}

// Ends of a connection.
var (
	whole = "between messages"
	torn  = "in a message"
	bad   = "with a bad message"
)

func endOf(err error) string {
	reason, _ := reasonOf(err)
	switch {
	case err == io.EOF:
		return whole
	case errors.Is(err, io.ErrUnexpectedEOF):
		return torn
	case reason == BadMessage:
		return bad
	}
	return err.Error()
}

// reference takes data apart as RFC 8489 section 5 and RFC 8656 section 12 say.
func reference(data []byte, kept bool) (messages []string, end string) {
	for {
		var size int
		switch n := len(data); {
		case n == 0:
			return messages, whole
		case data[0] >= 0x40 && data[0] <= 0x7F:
			if n < 4 {
				return messages, torn
			}
			size = 4 + int(data[2])*256 + int(data[3])
		case data[0] > 0x3F:
			return messages, bad
		case n < 4:
			return messages, torn
		case data[3]&3 != 0:
			return messages, bad
		case n < 8:
			return messages, torn
		case string(data[4:8]) != "\x21\x12\xa4\x42":
			return messages, bad
		default:
			size = 20 + int(data[2])*256 + int(data[3])
		}
		if !kept && size > DefaultMaxMessage {
			return messages, bad
		}
		after := size
		for after%4 != 0 {
			after++
		}
		if len(data) < after {
			return messages, torn
		}
		messages, data = append(messages, string(data[:size])), data[after:]
	}
}

func addSeeds(f *testing.F) {
	for i, seed := range []string{
		"",
		spinPacket,
		spinPacket + string(make([]byte, 0xFFEC)),
		stunMessage(0) + stunMessage(4) + padded(channelData("1"), channelData(""), channelData("1234"), channelData("123")) + stunMessage(8),
		padded(channelData(string(make([]byte, 5000)))) + stunMessage(4),
		padded(channelData(string(make([]byte, 0xFFFF))), stunMessage(0xFFFC), channelData("x")),
		stunMessage(DefaultMaxMessage) + "\x16\x03\x01",
		"GET / HTTP/1.1\r\n\r\n",
		stunMessage(0)[:19],
	} {
		for _, step := range []int{1, 3, 1200, 1 << 16} {
			f.Add([]byte(seed), uint16(step-1), i%2 == 0)
			f.Add([]byte(seed), uint16(step-1), i%2 == 1)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte, step uint16, kept bool) {
		want, wantEnd := reference(data, kept)
		nc := &pieces{data: data, step: 1 + int(step)}
		got, err := readAll(nc, false, kept)
		if !slices.Equal(got, want) || endOf(err) != wantEnd {
			t.Fatalf("got %q, %v, want %q, an end %s", got, err, want, wantEnd)
		}
		if nc.ends > 1 {
			t.Fatalf("the end was read %d times, want once", nc.ends)
		}
	})
}

// FuzzDatagram: a datagram is one message, which may be padded, or bad.
func FuzzDatagram(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte, _ uint16, kept bool) {
		if len(data) == 0 || len(data) > datagram {
			return
		}
		var want []string
		end := bad
		if messages, _ := reference(slices.Concat(data, make([]byte, pad(len(data))-len(data))), kept); len(messages) == 1 &&
			(len(messages[0]) == len(data) || pad(len(messages[0])) == len(data)) {
			want, end = messages, whole
		}
		got, err := readAll(&pieces{data: data, step: len(data)}, true, kept)
		if !slices.Equal(got, want) || endOf(err) != end {
			t.Fatalf("got %q, %v, want %q, an end %s", got, err, want, end)
		}
	})
}

// endless is a connection that bears the same bytes again and again, and takes all.
type endless struct {
	pieces
	text string
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m := copy(b[n:], e.text[e.at:])
		e.at = (e.at + m) % len(e.text)
		n += m
	}
	return n, nil
}

func (e *endless) Write(b []byte) (int, error)      { return len(b), nil }
func (e *endless) SetWriteDeadline(time.Time) error { return nil }

var sizes = map[string]int{"172 B": 172, "1200 B": 1200}

// serveEndless runs use on a connection with an allocation that bears ChannelData.
func serveEndless(size int, use func(c *Conn, message []byte)) {
	message := channelData(string(make([]byte, size)))
	a := &Acceptor{Handle: func(c *Conn) {
		c.Keep(true)
		use(c, []byte(message))
	}}
	a.ServeConn(&endless{text: padded(message)})
	a.Close()
}

func BenchmarkReadMessage(b *testing.B) {
	for name, size := range sizes {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			serveEndless(size, func(c *Conn, _ []byte) {
				for b.Loop() {
					if _, err := c.ReadMessage(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkSend(b *testing.B) {
	for name, size := range sizes {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			dropped := 0
			serveEndless(size, func(c *Conn, m []byte) {
				for b.Loop() {
					if !c.Send(m[:4], m[4:]) {
						dropped++
						c.out.writer.Wait()
					}
				}
			})
			b.ReportMetric(float64(dropped)/float64(b.N), "dropped/op")
		})
	}
}

// TestAllocations: nothing is allocated for a message.
func TestAllocations(t *testing.T) {
	serveEndless(1200, func(c *Conn, m []byte) {
		if n := testing.AllocsPerRun(10000, func() {
			if got, err := c.ReadMessage(); err != nil || binary.BigEndian.Uint16(got[2:]) != 1200 {
				t.Fatalf("ReadMessage = %d bytes, %v", len(got), err)
			}
		}); n != 0 {
			t.Errorf("ReadMessage allocates %v times, want 0", n)
		}
		if n := testing.AllocsPerRun(10000, func() {
			if !c.Send(m[:4], m[4:]) {
				c.out.writer.Wait()
			}
		}); n != 0 {
			t.Errorf("Send allocates %v times, want 0", n)
		}
	})
}
