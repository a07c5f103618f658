package dtls

import (
	"errors"
	"fmt"
	"net"
	"os"

	pion "github.com/pion/dtls/v3"
)

// maxMessage is the longest record (RFC 6347, section 4.1.1): pion/dtls would send a longer one, which no client takes.
const maxMessage = 1 << 14

// conn is what Handle gets: pion/dtls's, with the errors of a net.Conn.
type conn struct{ *pion.Conn }

func (c conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, deadlineOf(err)
}

func (c conn) Write(p []byte) (int, error) {
	if len(p) > maxMessage {
		return 0, fmt.Errorf("dtls: a message of %d bytes does not fit into a record of %d", len(p), maxMessage)
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		n = 0
	}
	return n, deadlineOf(err)
}

func deadlineOf(err error) error {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return os.ErrDeadlineExceeded
	}
	return err
}
