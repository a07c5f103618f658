package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// lookEvery is how often, at most, a file is looked after: whether it is still in its place, and whether one that could
// not be rotated now can.
const lookEvery = time.Second

// Options configures the file of a Log. Zero fields mean the defaults.
type Options struct {
	// MaxSize is the size in bytes above which the file is rotated, default 100 MiB.
	MaxSize int64
	// MaxFiles is how many older files are kept, as PATH.1 (the youngest), PATH.2 …, default 10. Those with higher
	// numbers are left alone.
	MaxFiles int
	// Logger is told, at most once a second, that the file could not be rotated: it then grows beyond MaxSize. Default:
	// nobody is.
	Logger *slog.Logger
}

// Open returns a Log that appends to a file, which it makes with mode 0600 if there is none. One process writes to it.
//
// When the file has grown to Options.MaxSize it is renamed and another one begun. It may as well be moved, deleted or
// truncated by others, such as logrotate: within a second a file is made in its place. A last line without an end, left
// by a crash, is ended before the next one.
func Open(path string, opts *Options) (*Log, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxSize <= 0 {
		o.MaxSize = 100 << 20
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // else rotation would rename the link
	}
	f := &file{path: path, opts: o}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return newLog(f), nil
}

// file is the file that a Log appends to. Its Log's lock guards it.
type file struct {
	// set at construction
	path string
	opts Options

	file   *os.File // nil: to be opened
	info   os.FileInfo
	lines  stream // to file
	size   int64
	looked time.Time
	stuck  bool // could not be rotated since
}

func (f *file) writeLine(line []byte) error {
	if time.Since(f.looked) >= lookEvery {
		f.look()
	}
	if f.file != nil && f.size > 0 && f.size+int64(len(line)) > f.opts.MaxSize && !f.stuck {
		if err := f.rotate(); err != nil {
			f.stuck = true
			f.opts.Logger.Error("audit log not rotated, it grows on", "file", f.path, "err", err)
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	return f.lines.writeLine(line)
}

// Write is the stream's: it keeps count.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.size += int64(n)
	return n, err
}

// look lets go of a file that is not in its place any more.
func (f *file) look() {
	f.looked, f.stuck = time.Now(), false
	if f.file == nil {
		return
	}
	switch info, err := os.Stat(f.path); {
	case err == nil && os.SameFile(info, f.info):
		f.size = info.Size() // it may have been truncated
	case err == nil || errors.Is(err, fs.ErrNotExist):
		f.Close() // only moved away: what was written is written
	}
}

// open opens what is in the file's place. A device is nothing to be renamed, and to open a pipe would be to wait.
func (f *file) open() error {
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.path)
	}
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	f.file, f.info, f.size, f.looked = opened, info, info.Size(), time.Now()
	f.lines = stream{w: f, torn: isTorn(opened, f.size)}
	return nil
}

func isTorn(file *os.File, size int64) bool {
	var last [1]byte
	_, err := file.ReadAt(last[:], max(size-1, 0))
	return err == nil && last[0] != '\n'
}

// Close also ends a line that is torn: somebody may put the next file's behind it.
func (f *file) Close() error {
	if f.file == nil {
		return nil
	}
	if f.lines.torn {
		f.file.Write([]byte{'\n'}) // that is all that can be done
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// rotate makes room for a new file. What a crash leaves of it, a number that is missing, is filled the next time.
func (f *file) rotate() error {
	if err := f.Close(); err != nil {
		return err
	}
	free := 1
	for free < f.opts.MaxFiles && exists(f.older(free)) {
		free++
	}
	for ; free > 1; free-- {
		if err := os.Rename(f.older(free-1), f.older(free)); err != nil {
			return err
		}
	}
	return os.Rename(f.path, f.older(1))
}

func (f *file) older(n int) string { return f.path + "." + strconv.Itoa(n) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
