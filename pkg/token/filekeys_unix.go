//go:build !windows

package token

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks file until it is closed, unless somebody else has it locked.
func tryLock(file *os.File) (bool, error) {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func readableByOthers(info os.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// syncDir makes a rename in dir last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
