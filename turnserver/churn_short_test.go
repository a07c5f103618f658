//go:build !soak

package turnserver

import "time"

// How long TestChurn lasts, and what it lets come before it looks for the first time.
const (
	churnTime = 5 * time.Second
	warmUp    = time.Second
)
