package policy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// watchInterval is how soon a changed file takes effect.
const watchInterval = 5 * time.Second

// File is a policy that follows its file.
type File struct {
	path    string
	current atomic.Pointer[Policy]

	// owned by Watch, once OpenFile has returned
	text []byte // of the current policy, or of the last that could not be used
	told string // the last failure to read
}

// OpenFile reads the policy in a file of at most 1 MiB. The error tells all that is
// wrong with it.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	text, err := f.read()
	if err == nil {
		err = f.use(text)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Current returns the policy in force.
func (f *File) Current() *Policy { return f.current.Load() }

// Watch makes the policy follow its file until ctx ends. It looks every five
// seconds and calls changed when another policy is in force, or, once, with why the
// file cannot be used: the policy then stays as it was. A File has one Watch at a
// time.
func (f *File) Watch(ctx context.Context, changed func(err error)) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if news, err := f.look(); news {
			changed(err)
		}
	}
}

// look takes a changed file into use. It reports whether there is something new,
// good or bad.
func (f *File) look() (news bool, err error) {
	text, err := f.read()
	if err != nil {
		news = err.Error() != f.told
		f.told = err.Error()
		return news, err
	}
	f.told = ""
	if bytes.Equal(text, f.text) {
		return false, nil
	}
	return true, f.use(text)
}

// use makes text the policy, if it is one.
func (f *File) use(text []byte) error {
	f.text = text
	p, err := Parse(text)
	if err != nil {
		return fmt.Errorf("policy %s: %w", f.path, err)
	}
	f.current.Store(p)
	return nil
}

func (f *File) read() ([]byte, error) {
	info, err := os.Stat(f.path)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		err = fmt.Errorf("%s is not a regular file", f.path)
	}
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxText+1)) // one too many, which Parse refuses
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	return text, nil
}
