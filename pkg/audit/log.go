package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Log writes events. It is safe for concurrent use. A nil *Log records nothing.
type Log struct {
	// set at construction
	sink   sink
	closed chan struct{}
	lines  lines
	minute sync.WaitGroup // of the one goroutine there is while repetitions are counted

	// guarded by mu
	mu       sync.Mutex
	isClosed bool
	floods   map[flood]*Event // of this minute, with how often they were repeated; nil between floods
}

// sink is where lines go: a stream or a file.
type sink interface {
	// writeLine writes all of line, which ends in a newline, on a line of its own.
	writeLine(line []byte) error
	io.Closer
}

// New returns a Log that writes to w, the standard output say, each line by one call of Write. Close leaves w open.
func New(w io.Writer) *Log { return newLog(&stream{w: w}) }

func newLog(s sink) *Log { return &Log{sink: s, lines: newLines(), closed: make(chan struct{})} }

// Record writes e. It returns when the line is written (to the operating system, which survives a crash of the process
// but not of the machine), or the error that kept it from that: then the event is not on record. The next Record tries
// again. Repetitions of a flood are counted instead.
func (l *Log) Record(e Event) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now() // under the lock: lines are in the order of their times
	}
	if l.isClosed {
		return fmt.Errorf("record audit event: %w", os.ErrClosed)
	}
	key, isFlood := l.floodLocked(e)
	if first := l.floods[key]; isFlood && first != nil {
		first.Repeated++
		return nil
	}
	if err := l.writeLocked(e); err != nil {
		return err
	}
	if isFlood {
		l.beginLocked(key, e)
	}
	return nil
}

func (l *Log) writeLocked(e Event) error {
	line, err := encode(e)
	if err == nil {
		err = l.sink.writeLine(line)
	}
	if err != nil {
		return fmt.Errorf("record audit event: %w", err)
	}
	return nil
}

// Close writes the repetitions that are still counted and closes the file. Closing again does nothing.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.minute.Wait() // it takes the lock
	defer l.mu.Unlock()
	if l.isClosed {
		return nil
	}
	l.isClosed = true
	close(l.closed)
	return errors.Join(l.flushLocked(), l.sink.Close())
}

// stream writes lines to w.
type stream struct {
	w    io.Writer
	torn bool // the last line has no end
}

func (s *stream) writeLine(line []byte) error {
	if s.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := s.w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if n > 0 {
		s.torn = line[min(n, len(line))-1] != '\n'
	}
	return err
}

func (s *stream) Close() error { return nil }
