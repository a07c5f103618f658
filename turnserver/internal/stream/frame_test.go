package stream

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// TestBadMessage: what is no message ends the connection as soon as that can be told.
func TestBadMessage(t *testing.T) {
	long := string(make([]byte, DefaultMaxMessage))
	for _, tt := range []struct {
		name, bytes, want string
		kept              bool
	}{
		{"a length that a framer may spin on", spinPacket, "65536 bytes, at most 4096", false},
		{"STUN too long for a stranger", stunMessage(DefaultMaxMessage)[:cookieEnd], "4116 bytes, at most 4096", false},
		{"ChannelData too long for a stranger", channelData(long)[:4], "4100 bytes, at most 4096", false},
		{"TLS", "\x16\x03\x02\x00\x01\x00\x01\xfc", "cookie 0x010001fc", true},
		{"HTTP", "GET ", "21540 bytes, at most 4096", false}, // on channel 0x4745
		{"SSH", "SSH-", "18481 bytes, at most 4096", false},  // on channel 0x5353,
		{"RTP", "\x80", "first byte 0x80 is neither", true},
		{"DTLS-SRTP", "\xc0", "first byte 0xc0 is neither", true},
		{"STUN of a strange length", "\x00\x01\x00\x05", "length 5 of a STUN message", true},
		{"STUN without the cookie", "\x00\x01\x00\x00\x21\x12\xa4\x43", "cookie 0x2112a443", true},
		{"old STUN", "\x00\x01\x00\x00abcdefghijklmnop", "cookie 0x61626364", true},
		{"garbage after a message", stunMessage(4) + "\xff", "first byte 0xff is neither", true},
		{"garbage after padding", padded(channelData("12345")) + "\xff", "first byte 0xff is neither", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ta := newTestAcceptor(t, nil)
				nc, c := ta.connect()
				c.Keep(tt.kept)
				write(t, nc, tt.bytes)
				wantClosed(t, nc, 0)
				err := <-c.ended
				if reason, _ := reasonOf(err); reason != BadMessage || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("ReadMessage = %v (%q), want %q (%q)", err, reason, tt.want, BadMessage)
				}
				ta.wantRefused(BadMessage, 1)
			})
		})
	}
}

// TestMessages checks what is taken, in one write and byte by byte.
func TestMessages(t *testing.T) {
	longest := string(make([]byte, 0xFFFF))
	for name, messages := range map[string][]string{
		"STUN":           {stunMessage(0), stunMessage(4), stunMessage(1000)},
		"ChannelData":    {channelData(""), channelData("1"), channelData("12"), channelData("123"), channelData("1234"), channelData("12345")},
		"both":           {channelData("1"), stunMessage(8), channelData("1"), stunMessage(8)},
		"longest":        {stunMessage(0xFFFC), channelData(longest), stunMessage(0), channelData(longest), channelData("1")},
		"last channel":   {"\x4f\xff\x00\x01x"},
		"a strange type": {"\x3f\xff" + stunMessage(0)[2:]},
	} {
		for how, step := range map[string]int{"at once": 1 << 20, "in pieces": 7, "byte by byte": 1} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ta := newTestAcceptor(t, nil)
					nc, c := ta.connect()
					c.Keep(true)
					all := padded(messages...)
					for step := max(step, len(all)/2000); all != ""; {
						n := min(step, len(all))
						write(t, nc, all[:n])
						all = all[n:]
					}
					nc.Close()
					c.wantEnd(t, "", io.EOF)
					close(c.got)
					wantMessages(t, c.got, messages)
				})
			})
		}
	}
}

func wantMessages(t testing.TB, got <-chan string, want []string) {
	t.Helper()
	i := 0
	for m := range got {
		if i < len(want) && m != want[i] {
			t.Errorf("message %d is %.20q (%d bytes), want %.20q (%d)", i, m, len(m), want[i], len(want[i]))
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d messages came, want %d", i, len(want))
	}
}

// TestBuffered: messages of one read can be handled together.
func TestBuffered(t *testing.T) {
	batches := make(chan string, 10)
	a := &Acceptor{Handle: func(c *Conn) {
		var batch [][]byte
		for m, err := c.ReadMessage(); err == nil; m, err = c.ReadMessage() {
			if batch = append(batch, m); !c.Buffered() {
				batches <- string(bytes.Join(batch, []byte(" ")))
				batch = nil
			}
		}
		close(batches)
	}}
	server, nc := net.Pipe()
	go a.ServeConn(server)
	all := padded(channelData("one"), stunMessage(4), channelData("three"), channelData("four"), channelData("five"))
	write(t, nc, all[:len(all)-14])
	write(t, nc, all[len(all)-14:])
	nc.Close()
	for _, want := range []string{channelData("one") + " " + stunMessage(4) + " " + channelData("three"), channelData("four") + " " + channelData("five")} {
		if got := <-batches; got != want {
			t.Errorf("batch: got %q, want %q", got, want)
		}
	}
	if extra, ok := <-batches; ok {
		t.Errorf("further batch: %q", extra)
	}
	a.Close()
}

// TestErrorKeepsBuffer: what is valid while there is more is not read over by another connection when the next message is
// an error. That happens to a long one whose allocation has ended in between.
func TestErrorKeepsBuffer(t *testing.T) {
	long := padded(channelData(strings.Repeat("x", 2*DefaultMaxMessage)))
	done := make(chan struct{})
	a := &Acceptor{Handle: func(c *Conn) {
		defer close(done)
		c.Keep(true)
		first, err := c.ReadMessage()
		if err != nil || !c.Buffered() || c.in.big == nil {
			t.Errorf("first message: %v, buffered %v, in a big buffer %v", err, c.Buffered(), c.in.big != nil)
			return
		}
		used := c.in.big
		c.Keep(false)
		if _, err := c.ReadMessage(); err == nil {
			t.Error("a stranger's long message: no error")
		}
		if bigBuffers.Get() == used {
			t.Errorf("the buffer of a message of %d bytes in use is another's", len(first))
		}
	}}
	server, nc := net.Pipe()
	go a.ServeConn(server)
	write(t, nc, long+long)
	<-done
	nc.Close()
	a.Close()
}

func TestEndInMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, nil)
		nc, c := ta.connect()
		write(t, nc, stunMessage(4)[:21])
		nc.Close()
		c.wantEnd(t, "", io.ErrUnexpectedEOF)
		ta.wantRefused("", 0)
	})
}

// TestMaxMessage: an allocation lets a client send long messages, and its end forbids them again.
func TestMaxMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ta := newTestAcceptor(t, func(a *Acceptor) { a.MaxMessage = 100 })
		nc, c := ta.connect()
		write(t, nc, stunMessage(80)+channelData(string(make([]byte, 96))))
		c.Keep(true)
		write(t, nc, stunMessage(84)+padded(channelData(string(make([]byte, 97)))))
		synctest.Wait()
		c.Keep(false)
		if got := len(c.got); got != 4 {
			t.Errorf("%d messages came, want 4", got)
		}
		write(t, nc, stunMessage(84)[:8])
		wantClosed(t, nc, 0)
		c.wantEnd(t, BadMessage, nil)
	})
}

// datagrams is a connection on which each read is one message.
type datagrams struct {
	net.Conn
	in chan string
}

func (d *datagrams) Read(b []byte) (int, error) {
	m, ok := <-d.in
	if !ok {
		return 0, io.EOF
	}
	return copy(b, m), nil
}

func TestDatagrams(t *testing.T) {
	for _, tt := range []struct{ name, datagram, want string }{
		{"STUN", stunMessage(8), stunMessage(8)},
		{"ChannelData", channelData("12345"), channelData("12345")},
		{"padded ChannelData", padded(channelData("12345")), channelData("12345")},
		{"nothing", "", ""},
		{"half a header", "\x00\x01\x00", ""},
		{"half a message", stunMessage(8)[:24], ""},
		{"two messages", stunMessage(8) + stunMessage(8), ""},
		{"ChannelData with two bytes of three", channelData("12345") + "xx", ""},
		{"ChannelData with too much", channelData("12345") + "xxxx", ""},
		{"a length that a framer may spin on", spinPacket, ""},
		{"garbage", "\xff", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ta := newTestAcceptor(t, nil)
				here, there := net.Pipe()
				defer here.Close()
				in := make(chan string, 2)
				in <- tt.datagram
				close(in)
				ta.ServeMessages(&datagrams{there, in})
				c := <-ta.conns
				if tt.want == "" {
					c.wantEnd(t, BadMessage, nil)
					return
				}
				c.wantEnd(t, "", io.EOF)
				if got := <-c.got; got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}
