//go:build !linux

package udp

import (
	"errors"
	"fmt"
	"syscall"
)

func newDriver(s *Socket) (driver, error) { return newPlain(s) }

func setOptions(_ syscall.RawConn, o *Options) error {
	if o.ReusePort {
		return fmt.Errorf("share the port among sockets: %w", errors.ErrUnsupported)
	}
	return nil
}

type wire struct{}

func newLoad() *load { return new(load) }
