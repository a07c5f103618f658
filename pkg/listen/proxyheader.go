package listen

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pires/go-proxyproto"
)

// Bounds of a PROXY header.
const (
	proxyTimeout = 3 * time.Second
	maxV1        = 107      // bytes with the line end: version 1's own limit
	v2Fixed      = 16       // bytes of version 2 before what the length counts
	maxV2        = 4 << 10  // bytes that the length counts: addresses and TLVs
	firstRead    = 512      // bytes: holds what proxies commonly send
	v1Start      = "PROXY " // what a header of version 1 begins with
)

// errMissing is what the person who runs the proxy has to read.
var errMissing = errors.New("the connection of a trusted proxy does not begin with a PROXY header: " +
	"let the proxy send one (nginx: proxy_protocol on; HAProxy: send-proxy-v2), or do not ask for it here")

// ReadPROXY reads the PROXY header, version 1 or 2, that a connection of a proxy begins with; see [Proxies.Expects].
//
// Client is whom the proxy speaks for. It is zero, and the socket's address counts, where the proxy speaks for itself
// (LOCAL) or does not know (UNKNOWN). Rest is what was read beyond the header: it belongs before what is still to be
// read from nc. TLVs are ignored, those that tell of a client's certificate too. A header that is missing, malformed,
// longer than 4 KiB, for another transport than TCP, or not complete within 3 s is an error, after which nc is good
// for nothing but Close.
//
// A connection that ends at once, as those of health checks do, is io.EOF (errors.Is).
//
// It sets the read deadline of nc and clears it: who needs another sets it afterwards.
func ReadPROXY(nc net.Conn) (client netip.AddrPort, rest []byte, err error) {
	if err := nc.SetReadDeadline(time.Now().Add(proxyTimeout)); err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("read PROXY header: %w", err)
	}
	header, rest, err := splitPROXY(nc)
	if err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("read PROXY header: %w", err)
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("read PROXY header: %w", err)
	}
	if client, err = parsePROXY(header); err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("read PROXY header: %w", err)
	}
	return client, rest, nil
}

// splitPROXY reads until the header is complete. The library would take no header of version 1 that comes in more than
// one piece, nor give back what came behind it.
func splitPROXY(r io.Reader) (header, rest []byte, err error) {
	buf := make([]byte, 0, firstRead)
	for {
		length, err := proxyLength(buf)
		if err != nil {
			return nil, nil, err
		}
		if length > 0 && len(buf) >= length {
			return buf[:length], buf[length:], nil
		}
		if length > cap(buf) {
			buf = append(make([]byte, 0, length), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return nil, nil, incomplete(len(buf), err)
		}
	}
}

// incomplete says why there is no more of a header after n bytes.
func incomplete(n int, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%d bytes came in %v, not all of it: %w", n, proxyTimeout, err)
	case errors.Is(err, io.EOF) && n > 0:
		return fmt.Errorf("the connection ended after %d bytes: %w", n, io.ErrUnexpectedEOF)
	}
	return err
}

// proxyLength returns how long the header is that b begins with, or 0 as long as that cannot be told.
func proxyLength(b []byte) (int, error) {
	switch {
	case begins(b, proxyproto.SIGV2):
		if len(b) < v2Fixed {
			return 0, nil
		}
		length := int(binary.BigEndian.Uint16(b[v2Fixed-2:]))
		if length > maxV2 {
			return 0, fmt.Errorf("%d bytes, at most %d are taken", length, maxV2)
		}
		return v2Fixed + length, nil
	case begins(b, []byte(v1Start)):
		end := bytes.IndexByte(b[:min(len(b), maxV1)], '\n') + 1
		if end == 0 && len(b) >= maxV1 {
			return 0, fmt.Errorf("no line end in the first %d bytes", maxV1)
		}
		return end, nil
	}
	return 0, errMissing
}

// begins reports whether b begins with start, as far as it goes.
func begins(b, start []byte) bool {
	n := min(len(b), len(start))
	return bytes.Equal(b[:n], start[:n])
}

// parsePROXY parses a complete header.
func parsePROXY(header []byte) (netip.AddrPort, error) {
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), len(header)))
	if err != nil {
		return netip.AddrPort{}, err
	}
	if h.Command.IsLocal() { // whatever addresses it bears
		return netip.AddrPort{}, nil
	}
	source, ok := h.SourceAddr.(*net.TCPAddr) // the library takes datagrams and Unix sockets, too
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("transport %#x is not TCP: this is a TCP connection", byte(h.TransportProtocol))
	}
	ap := source.AddrPort()
	return netip.AddrPortFrom(plain(ap.Addr()), ap.Port()), nil
}
