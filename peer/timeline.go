package peer

import (
	"sync"
	"time"
)

// Step is one event in the making of a call.
type Step struct {
	Name string        // such as "answer received" or "ICE connected"
	At   time.Duration // since the call began
}

// timeline notes the steps of a call, each once.
type timeline struct {
	start time.Time

	mu    sync.Mutex
	steps []Step
}

func (t *timeline) mark(name string) {
	at := time.Since(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.steps {
		if s.Name == name {
			return
		}
	}
	t.steps = append(t.steps, Step{name, at})
}

func (t *timeline) list() []Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Step(nil), t.steps...)
}
