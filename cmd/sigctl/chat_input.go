package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/muesli/cancelreader"
)

// maxText is the longest text of a chat, in bytes.
const maxText = 16 << 10

// lineInput hands out the lines of a reader, each when somebody takes it.
type lineInput struct {
	lines chan string     // closed at the end
	open  context.Context // ended too
	err   error           // set before: why the input ended early
	stop  func()
}

// readLines reads r in a goroutine that stop ends.
func readLines(r io.Reader) *lineInput {
	source, cancelRead := r, func() {}
	if c, err := cancelreader.NewReader(r); err == nil { // files cannot be waited for: their reads do not last
		source, cancelRead = c, func() { c.Cancel() }
	}
	ctx, cancel := context.WithCancel(context.Background())
	open, end := context.WithCancel(context.Background())
	in := &lineInput{lines: make(chan string), open: open}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer end()
		defer close(in.lines)
		in.err = in.read(ctx, source)
	})
	in.stop = func() {
		cancel()
		cancelRead()
		reading.Wait()
	}
	return in
}

// read hands out lines until the end, a line that cannot be sent, or ctx.
func (in *lineInput) read(ctx context.Context, r io.Reader) error {
	b := bufio.NewReaderSize(r, maxText+2)
	for n := 1; ; n++ {
		raw, err := b.ReadSlice('\n') // ErrBufferFull for a line that is too long
		if len(raw) == 0 && err != nil {
			if err == io.EOF || errors.Is(err, cancelreader.ErrCanceled) {
				return nil
			}
			return fmt.Errorf("read the input: %w", err)
		}
		line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		if err := checkText(line); err != nil {
			return hint(fmt.Errorf("line %d of the input %w: it was not sent, nor what follows", n, err),
				"fold -s -w 4000 makes short lines of long ones, base64 makes text of anything")
		}
		select {
		case in.lines <- line:
		case <-ctx.Done():
			return nil
		}
	}
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
