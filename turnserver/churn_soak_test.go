//go:build soak

package turnserver

import "time"

// How long TestChurn lasts, and what it lets come before it looks for the first time.
const (
	churnTime = 30 * time.Minute
	warmUp    = time.Minute
)
