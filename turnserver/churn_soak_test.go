//go:build soak

package turnserver

import "time"

const (
	// How long TestChurn lasts, and what it lets come before it looks for the first time.
	churnTime = 30 * time.Minute
	warmUp    = time.Minute

	// renewals is how often TestRefreshToZeroAndAllocate ends an allocation and asks for the next.
	renewals = 100_000
)
