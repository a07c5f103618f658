//go:build !unix

package main

import "io/fs"

// ownerOf does not know: the access lists of these systems are not looked at.
func ownerOf(fs.FileInfo) (owner string, ours bool) { return "", true }
