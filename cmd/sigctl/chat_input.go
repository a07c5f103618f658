package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/muesli/cancelreader"
)

// maxText is the longest text of a chat, in bytes.
const maxText = 16 << 10

// maxReady bounds what is taken to lie ready, in bytes: more than a pipe holds. A
// program may write without end.
const maxReady = 16 << 20

// errDrained ends the reading of what lies ready in the input.
var errDrained = errors.New("nothing more lies ready")

// lineInput reads the lines of r, for one call after the other. A line belongs to the
// call that is on when the line gets into r: none reaches a later call.
//
// It is owned by whoever calls its methods, and between begin and end by the reading.
type lineInput struct {
	r     io.Reader
	buf   []byte // read, and not yet handed out
	n     int    // lines read
	skip  bool   // the line that goes on was begun for another call
	ended bool   // there is nothing more to read
	err   error  // why the input ended early
	chunk [4 << 10]byte

	abandoned bool // a Read that cannot be interrupted goes on: nobody else may read
}

// atEnd reports whether there are no more lines for another call.
func (in *lineInput) atEnd() bool { return in.abandoned || in.ended }

// fault returns why the input ended early, if it did.
func (in *lineInput) fault() error {
	if in.abandoned {
		return nil
	}
	return in.err
}

// line returns the next line, reading with read as long as there is none. A line that
// cannot be sent ends the input.
func (in *lineInput) line(read func([]byte) (int, error)) (string, error) {
	for !in.ended {
		if raw, ok := in.takeLine(); ok {
			return in.checked(raw)
		}
		n, err := read(in.chunk[:])
		in.buf = append(in.buf, in.chunk[:n]...)
		switch {
		case n > 0 || err == nil:
		case err == io.EOF:
			return in.last()
		case errors.Is(err, errDrained), errors.Is(err, cancelreader.ErrCanceled):
			return "", err
		default:
			in.ended, in.err = true, fmt.Errorf("read the input: %w", err)
		}
	}
	return "", io.EOF
}

// takeLine takes a line out of buf, or all of it if it is longer than a line may be.
func (in *lineInput) takeLine() (raw []byte, ok bool) {
	end := bytes.IndexByte(in.buf, '\n')
	if in.skip && end >= 0 {
		in.buf, in.skip = in.buf[end+1:], false
		end = bytes.IndexByte(in.buf, '\n')
	}
	switch {
	case in.skip:
		in.buf = nil
	case end >= 0:
		raw, in.buf = in.buf[:end], in.buf[end+1:]
		return raw, true
	case len(in.buf) > maxText+len("\r"):
		raw, in.buf = in.buf, nil
		return raw, true
	}
	return nil, false
}

// last returns the line at the end of the input, which needs no line break.
func (in *lineInput) last() (string, error) {
	in.ended = true
	if len(in.buf) == 0 || in.skip {
		return "", io.EOF
	}
	raw := in.buf
	in.buf = nil
	return in.checked(raw)
}

// checked returns a line that can be sent, or ends the input.
func (in *lineInput) checked(raw []byte) (string, error) {
	in.n++
	line := strings.TrimSuffix(string(raw), "\r")
	if err := checkText(line); err != nil {
		in.ended = true
		in.err = hint(fmt.Errorf("line %d of the input %w: it was not sent, nor what follows", in.n, err),
			"fold -s -w 4000 makes short lines of long ones, base64 makes text of anything")
		return "", in.err
	}
	return line, nil
}

// discard hands out what was read or lies ready to be read: it is not for a later
// call, nor is the rest of a line that has begun. Where the system does not say what
// lies ready, the input ends here.
func (in *lineInput) discard(unsent func(line string)) {
	file, _ := in.r.(*os.File)
	waits := canWait(in.r)
	left := maxReady
	read := func(p []byte) (int, error) {
		if waits && (left <= 0 || !readReady(file)) {
			return 0, errDrained
		}
		n, err := in.r.Read(p)
		left -= n
		return n, err
	}
	for {
		line, err := in.line(read)
		if err != nil {
			break
		}
		unsent(line)
	}
	if len(in.buf) > 0 && !in.ended {
		unsent(string(in.buf))
		in.buf, in.skip = nil, true
	}
	in.ended = in.ended || waits && !canTellReady
}

// canWait reports whether reading r may wait for somebody to write.
func canWait(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err != nil || !info.Mode().IsRegular()
}

// reading is the time for which the lines of a lineInput are those of one call.
type reading struct {
	in     *lineInput
	source io.Reader
	lines  chan string
	stop   chan struct{}
	done   chan struct{} // closed when nobody reads any more
	held   []string      // owned by run until done: the line that nobody took
}

// begin reads lines until they end or end is called.
func (in *lineInput) begin() *reading {
	r := &reading{in: in, source: in.r, lines: make(chan string), stop: make(chan struct{}), done: make(chan struct{})}
	if canWait(in.r) {
		if c, err := cancelreader.NewReader(in.r); err == nil {
			r.source = c
		}
	}
	go r.run()
	return r
}

func (r *reading) run() {
	defer close(r.done)
	defer close(r.lines)
	for {
		line, err := r.in.line(r.source.Read)
		if err != nil {
			return
		}
		select {
		case r.lines <- line:
		case <-r.stop:
			r.held = append(r.held, line)
			return
		}
	}
}

// next returns the lines. Each is read once the one before was taken. The channel is
// closed when there are no more.
func (r *reading) next() <-chan string { return r.lines }

// end waits until nobody reads any more, and hands out the lines that nobody took.
func (r *reading) end(unsent func(line string)) {
	close(r.stop)
	if c, ok := r.source.(cancelreader.CancelReader); ok {
		if !c.Cancel() {
			r.in.abandoned = true
			return
		}
		defer c.Close()
	}
	<-r.done
	for _, line := range r.held {
		unsent(line)
	}
	r.in.discard(unsent)
}

// checkText says why text cannot be sent.
func checkText(text string) error {
	switch {
	case len(text) > maxText:
		return fmt.Errorf("is longer than %d bytes", maxText)
	case !utf8.ValidString(text):
		return errors.New("is not UTF-8")
	}
	return nil
}
