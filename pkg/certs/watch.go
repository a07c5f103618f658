package certs

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// statEvery is how often, at most, a handshake looks whether files have changed.
const statEvery = time.Second

// watch follows files that are replaced on disk. It has no goroutine: who needs what the files hold polls first, and
// at most once a second that looks. While the files are broken what they held before stays, which is logged once.
type watch struct {
	// set at construction
	what  string // that the files hold, for the log
	files []string
	load  func() (expires time.Time, err error) // reads the files and keeps what they hold; zero: never expires
	renew func() error                          // writes new files if it has to; nil: somebody else does
	log   *slog.Logger
	now   func() time.Time

	// guarded by mu, which poll only tries: one looks, the others go on with what there is
	mu        sync.Mutex
	looked    time.Time
	loaded    []os.FileInfo // the files when they were read
	expires   time.Time     // of what they hold; zero when that was logged
	complaint string        // the fault that was logged last, empty when there is none
}

// start reads the files for the first time.
func (w *watch) start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = w.now()
	defer w.warnOfEnd()
	return w.read(w.stat())
}

// poll reads the files if they were replaced.
func (w *watch) poll() {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	if now := w.now(); now.Sub(w.looked) >= statEvery {
		w.looked = now
		w.complain(w.look())
		w.warnOfEnd()
	}
}

func (w *watch) look() error {
	if w.renew != nil {
		if err := w.renew(); err != nil {
			return err
		}
	}
	seen := w.stat()
	if slices.EqualFunc(seen, w.loaded, sameFile) {
		return nil
	}
	if err := w.read(seen); err != nil {
		return err
	}
	w.log.Info(w.what+" replaced", "file", w.files[0], "expires", w.expires)
	return nil
}

func (w *watch) read(seen []os.FileInfo) error {
	expires, err := w.load()
	if err == nil {
		w.loaded, w.expires = seen, expires
	}
	return err
}

// warnOfEnd says once that what the files hold has expired.
func (w *watch) warnOfEnd() {
	if end := w.expires; !end.IsZero() && w.now().After(end) {
		w.expires = time.Time{}
		w.log.Warn(w.what+" has expired, what depends on it is refused", "file", w.files[0], "expired", end)
	}
}

// complain logs a fault once, however long it lasts.
func (w *watch) complain(err error) {
	if err == nil {
		w.complaint = ""
		return
	}
	if text := err.Error(); text != w.complaint {
		w.complaint = text
		w.log.Error(w.what+" not replaced, the old one stays", "file", w.files[0], "err", err)
	}
}

// stat of a file that cannot be looked at is nil, so that a file that comes back counts as new.
func (w *watch) stat() []os.FileInfo {
	seen := make([]os.FileInfo, len(w.files))
	for i, file := range w.files {
		if info, err := os.Stat(file); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// sameFile asks for the identity too: a modification time is only as fine as the kernel's tick.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
