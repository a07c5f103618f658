//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the user id of a file's owner, if the system has one.
func ownerOf(info fs.FileInfo) (uid uint32, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return stat.Uid, true
}
