// Package follow keeps what a file says in force while the file changes. Package
// policy follows its rules with it, cmd/sigctl secrets and lists.
//
//	rules, err := follow.Open(path, &follow.Kind[Rules]{Name: "rules", MaxBytes: 1 << 20, Parse: parseRules})
//	…
//	go rules.Watch(ctx, func(err error) { … }) // other rules are in force, or why they are not
//	rules.Current()
//
// What cannot be used changes nothing: an editor that is half through writing takes
// no rule away.
package follow

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Interval is how soon a changed file takes effect.
const Interval = 5 * time.Second

// Kind says what files hold.
type Kind[T any] struct {
	Name     string // for errors
	MaxBytes int    // of a file
	Parse    func(text []byte) (T, error)
}

// File is a T that follows its file.
type File[T any] struct {
	kind    *Kind[T]
	path    string
	current atomic.Pointer[T]

	// owned by Watch, once Open has returned
	text []byte // of the current T, or of the last that could not be used
	told string // the last failure to read
}

// Open reads a file. Its error names it.
func Open[T any](path string, kind *Kind[T]) (*File[T], error) {
	f := &File[T]{kind: kind, path: path}
	text, err := f.read()
	if err == nil {
		err = f.use(text)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Current returns what is in force.
func (f *File[T]) Current() T { return *f.current.Load() }

// Watch follows the file until ctx ends. It looks every Interval and calls changed
// when another T is in force, or, once, with why the file cannot be used: all then
// stays as it was. A File has one Watch at a time.
func (f *File[T]) Watch(ctx context.Context, changed func(err error)) {
	tick := time.NewTicker(Interval)
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
func (f *File[T]) look() (news bool, err error) {
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

// use makes what text says the current T, if it says one.
func (f *File[T]) use(text []byte) error {
	f.text = text
	value, err := f.kind.Parse(text)
	if err != nil {
		return fmt.Errorf("%s %s: %w", f.kind.Name, f.path, err)
	}
	f.current.Store(&value)
	return nil
}

func (f *File[T]) read() ([]byte, error) {
	text, err := readFile(f.path, f.kind.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.kind.Name, err)
	}
	return text, nil
}

func readFile(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s is larger than %d KiB", path, most>>10)
	}
	return text, err
}
