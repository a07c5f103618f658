package main

import (
	"errors"
	"net"
	"slices"
)

// closers undo what was opened, the last first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// close calls them all. Closing again does nothing.
func (c *closers) close() error {
	var errs []error
	for _, f := range slices.Backward(*c) {
		if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	*c = nil
	return errors.Join(errs...)
}
