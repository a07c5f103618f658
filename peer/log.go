package peer

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLog hands pion's log to ours. Its warnings and errors are often what a
// working call leaves behind, so all of it is Debug; its traces are dropped.
type pionLog struct{ log *slog.Logger }

// NewLogger returns the logger of one of pion's layers.
func (p pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{p.log.With("pion", scope)}
}

type pionLogger struct{ log *slog.Logger }

func (p pionLogger) print(text string) { p.log.Debug(text) }

func (p pionLogger) printf(format string, args ...any) {
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (p pionLogger) Trace(string)                   {}
func (p pionLogger) Tracef(string, ...any)          {}
func (p pionLogger) Debug(text string)              { p.print(text) }
func (p pionLogger) Debugf(format string, a ...any) { p.printf(format, a...) }
func (p pionLogger) Info(text string)               { p.print(text) }
func (p pionLogger) Infof(format string, a ...any)  { p.printf(format, a...) }
func (p pionLogger) Warn(text string)               { p.print(text) }
func (p pionLogger) Warnf(format string, a ...any)  { p.printf(format, a...) }
func (p pionLogger) Error(text string)              { p.print(text) }
func (p pionLogger) Errorf(format string, a ...any) { p.printf(format, a...) }
