//go:build !soak

package turnserver

import "time"

const (
	// How long TestChurn lasts, and what it lets come before it looks for the first time.
	churnTime = time.Second
	warmUp    = time.Second / 10

	// renewals is how often TestRefreshToZeroAndAllocate ends an allocation and asks for the next.
	renewals = 2_000
)
