package stream

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
)

// readSettings tells of each read deadline that is set.
type readSettings struct {
	net.Conn
	set chan time.Time
}

func (r *readSettings) SetReadDeadline(at time.Time) error {
	r.set <- at
	return r.Conn.SetReadDeadline(at)
}

// TestDTLS: the library's connections keep messages apart, and its deadlines are understood.
func TestDTLS(t *testing.T) {
	ta := newTestAcceptor(t, func(a *Acceptor) { a.LoginTimeout = time.Second })
	server := serverTLS(t).Certificates[0]
	l, err := dtls.ListenWithOptions("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, dtls.WithCertificates(server))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	clients := make(chan *dtls.Conn, 1)
	go func() {
		client, err := dtls.DialWithOptions("udp", l.Addr().(*net.UDPAddr), dtls.WithInsecureSkipVerify(true))
		if err == nil {
			err = client.Handshake()
		}
		if err != nil {
			t.Errorf("dial: %v", err)
		}
		clients <- client
	}()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := accepted.(*dtls.Conn).Handshake(); err != nil {
		t.Fatal(err)
	}
	nc := <-clients
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))

	deadlines := make(chan time.Time, 100)
	ended := make(chan struct{})
	go func() {
		ta.ServeMessages(&readSettings{accepted, deadlines})
		close(ended)
	}()
	c := <-ta.conns
	if got, want := c.Client(), addrPort(accepted.RemoteAddr()); got != want || !got.Addr().IsLoopback() {
		t.Errorf("Client = %s, want %s", got, want)
	}
	<-deadlines // of the first read
	c.Keep(true)
	for at := <-deadlines; !at.IsZero(); at = <-deadlines { // one has passed, and was found not to be due
	}
	for _, m := range []string{channelData("12345"), stunMessage(8)} {
		write(t, nc, m)
		if got := <-c.got; got != m {
			t.Errorf("got %q, want %q", got, m)
		}
		c.Send([]byte(m[:4]), []byte(m[4:]))
		b := make([]byte, datagram)
		if n, err := nc.Read(b); err != nil || string(b[:n]) != m {
			t.Errorf("read %q, %v, want %q", b[:n], err, m)
		}
	}
	c.Keep(false)
	c.wantEnd(t, NoAllocation, nil)
	<-ended
	if _, err := nc.Read(make([]byte, datagram)); err != io.EOF {
		t.Errorf("read: %v, want io.EOF: the client is told of the end", err)
	}
}
