//go:build unix

package main

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// ownerOf returns the user id of a file's owner, and whether that is this process's.
func ownerOf(info fs.FileInfo) (owner string, ours bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", true
	}
	return strconv.FormatUint(uint64(stat.Uid), 10), int(stat.Uid) == os.Geteuid()
}
