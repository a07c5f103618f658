package dtls

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// record returns a record in clear, as anybody can forge it.
func record(kind byte, epoch uint16, content ...byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind, 0xfe, 0xfd}, epoch)
	b = append(b, 0, 0, 0, 0, 99, 99)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(content))), content...)
}

// TestForged: who can forge a client's address does not end its session, nor have anything sent to it.
func TestForged(t *testing.T) {
	const address = "198.51.100.1:1000"
	simulated(t, nil, func(tl *testListener) {
		alice := tl.dial(address)
		alice.wantEcho("hello")
		for name, forged := range map[string][]byte{
			"close_notify":       record(typeAlert, 0, 1, 0),
			"fatal alert":        record(typeAlert, 0, 2, 40),
			"data":               record(typeApplicationData, 0, 'h', 'i'),
			"ChangeCipherSpec":   record(typeChangeCipherSpec, 0, 1),
			"handshake message":  record(typeHandshake, 0, 16, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0),
			"encrypted alert":    record(typeAlert, 1, make([]byte, 26)...),
			"short record":       record(typeAlert, 1, 0),
			"record of no size":  record(typeApplicationData, 1),
			"half a record":      record(typeApplicationData, 1, 1, 2, 3)[:14],
			"connection id":      record(25, 1, make([]byte, 40)...),
			"next epoch":         record(typeApplicationData, 2, make([]byte, 40)...),
			"several":            append(record(typeAlert, 0, 2, 40), record(typeAlert, 0, 1, 0)...),
			"hello":              aHello("not alice"),
			"hello and cookie":   someHello("not alice", 1, 1, make([]byte, cookieLen)),
			"nothing":            {},
			"a STUN transaction": {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		} {
			tl.from(address, forged)
			synctest.Wait()
			if n := len(alice.inbox); n != 0 {
				t.Errorf("%s: %d packets were sent to the client", name, n)
			}
			alice.wantEcho(name)
		}
		tl.wantStats(1, 0)
	})
}

// TestRestart: a client that lost its session gets a new one at the same address; the old one works until then.
func TestRestart(t *testing.T) {
	const address = "198.51.100.1:1000"
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 2)
		tl := newTestListener(t, &Config{Handle: func(c net.Conn) {
			echo(c)
			_, err := c.Read(nil)
			ended <- err
		}})
		old := tl.dial(address)
		old.wantEcho("hello")
		tl.from(address, tl.proven(address, "begins, and does not go on"))
		tl.wantStats(1, 1)
		old.wantEcho("still here")
		time.Sleep(tl.cfg.HandshakeTimeout)
		synctest.Wait()
		tl.wantStats(1, 0)
		old.wantEcho("still here")

		tl.dial(address).wantEcho("hello again")
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("the old session ended with %v, want EOF", err)
		}
		tl.wantStats(1, 0)
	})
}

// TestDuplicates: a hello with a good cookie, again, begins nothing: while its handshake is under way, and afterwards.
func TestDuplicates(t *testing.T) {
	const address = "198.51.100.1:1000"
	simulated(t, nil, func(tl *testListener) {
		var hello []byte
		alice := tl.newClient(address)
		alice.lose = func(p []byte) bool {
			if h, ok := parseHello(p); ok && h.messageSeq == 1 {
				hello = slices.Clone(p)
				tl.from(address, p)
			}
			return false
		}
		if err := alice.connect(); err != nil {
			t.Fatal(err)
		}
		tl.from(address, hello)
		tl.wantRefused(map[Reason]uint64{Duplicate: 2})
		tl.wantStats(1, 0)
		alice.wantEcho("hello")
	})
}
