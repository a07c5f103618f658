package token

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks file until it is closed, unless somebody else has it locked.
func tryLock(file *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// readableByOthers cannot be told from the mode: files inherit the access rights
// of their directory.
func readableByOthers(os.FileInfo) bool { return false }

// syncDir has nothing to do: directories cannot be synced.
func syncDir(string) error { return nil }
