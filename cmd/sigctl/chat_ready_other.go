//go:build !unix

package main

import "os"

// canTellReady reports whether readReady knows.
const canTellReady = false

// readReady is not known here.
func readReady(*os.File) bool { return false }
