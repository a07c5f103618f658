//go:build integration

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started, and what it prints.
type process struct {
	t        *testing.T
	name     string // in failures
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	out, err *transcript
	tmp      string // its TMPDIR

	done  chan struct{} // closed when it has ended
	ended time.Time     // set before
}

// option changes how a program is started.
type option func(*exec.Cmd)

func withEnv(entries ...string) option {
	return func(c *exec.Cmd) { c.Env = append(c.Env, entries...) }
}

// withInput makes text all of its input.
func withInput(text string) option {
	return func(c *exec.Cmd) { c.Stdin = strings.NewReader(text) }
}

// asNobody takes root's rights from it.
func asNobody(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

const nobody = 65534

// start starts a program in a clean environment. It ends with the test.
func start(t *testing.T, name string, argv []string, opts ...option) *process {
	t.Helper()
	p := &process{t: t, name: name, tmp: t.TempDir(), done: make(chan struct{})}
	p.out, p.err = newTranscript(p.done), newTranscript(p.done)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.tmp, "TMPDIR=" + p.tmp,
		"GORACE=atexit_sleep_ms=0", // else the race detector makes each end last 1 s
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	for _, opt := range opts {
		opt(p.cmd)
	}
	if p.cmd.Stdin == nil {
		var err error
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // how it ended is asked of ProcessState
		p.ended = time.Now()
		close(p.done)
	}()
	t.Cleanup(p.cleanup)
	return p
}

func (p *process) cleanup() {
	p.cmd.Process.Kill() // has ended already, if all went well
	<-p.done
	if strings.Contains(p.err.all(), "WARNING: DATA RACE") || p.cmd.ProcessState.ExitCode() == raceExit {
		p.t.Errorf("%s: the race detector found something", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s: %s\nstdout:\n%sstderr:\n%s", p.name, strings.Join(p.cmd.Args, " "), tail(p.out.all()), tail(p.err.all()))
	}
}

// tail returns the end of a long text.
func tail(text string) string {
	const most = 8000
	if len(text) > most {
		return "[…]" + text[len(text)-most:]
	}
	return text
}

// run starts a program without input and waits until it has ended.
func run(t *testing.T, name string, argv []string, opts ...option) *process {
	t.Helper()
	p := start(t, name, argv, append([]option{withInput("")}, opts...)...)
	p.wait()
	return p
}

// says writes lines to the program's input.
func (p *process) says(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatalf("%s takes no input: %v", p.name, err)
	}
}

// saysNoMore ends its input.
func (p *process) saysNoMore() { p.stdin.Close() }

// wait waits for its end.
func (p *process) wait() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) // prints its goroutines
		<-p.done
		p.t.Fatalf("%s does not end", p.name)
	}
}

// wantExit waits for its end and checks the exit code.
func (p *process) wantExit(code int) {
	p.t.Helper()
	p.wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("%s: exit code %d (%v), want %d", p.name, got, p.cmd.ProcessState, code)
	}
}

// signal sends it a signal and returns when that was.
func (p *process) signal(sig os.Signal) time.Time {
	p.t.Helper()
	now := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return now
}

// wantLine waits until it prints a line as a result, behind those waited for
// before.
func (p *process) wantLine(text string) {
	p.t.Helper()
	p.await(p.out, "^"+regexp.QuoteMeta(text)+"$")
}

// wantStatus waits until it prints a line of status that matches, behind those
// waited for before. It returns the match and its groups.
func (p *process) wantStatus(pattern string) []string {
	p.t.Helper()
	match, _ := p.await(p.err, pattern)
	return match
}

func (p *process) await(from *transcript, pattern string) ([]string, time.Time) {
	p.t.Helper()
	match, at, err := from.next(regexp.MustCompile(pattern))
	if err != nil {
		p.t.Fatalf("%s: waited for %q: %v", p.name, pattern, err)
	}
	return match, at
}

// transcript is what a process prints to one stream, line by line.
type transcript struct {
	done <-chan struct{} // the process has ended: there is no more

	mu      sync.Mutex
	lines   []string      // guarded by mu
	times   []time.Time   // guarded by mu: when lines came
	partial string        // guarded by mu: of the line that has not ended
	read    int           // guarded by mu: lines before it were waited for
	changed chan struct{} // guarded by mu: closed when there is more
}

func newTranscript(done <-chan struct{}) *transcript {
	return &transcript{done: done, changed: make(chan struct{})}
}

func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	all := strings.Split(tr.partial+string(b), "\n")
	last := len(all) - 1
	tr.lines = append(tr.lines, all[:last]...)
	tr.times = append(tr.times, slices.Repeat([]time.Time{time.Now()}, last)...)
	tr.partial = all[last]
	close(tr.changed)
	tr.changed = make(chan struct{})
	return len(b), nil
}

// next returns the first match in lines that were not looked at before, and when
// the line came.
func (tr *transcript) next(re *regexp.Regexp) ([]string, time.Time, error) {
	timeout := time.After(patience)
	for {
		ended := false
		select {
		case <-tr.done: // before looking: what it printed last is there then
			ended = true
		default:
		}
		match, at, changed := tr.look(re)
		switch {
		case match != nil:
			return match, at, nil
		case ended:
			return nil, at, fmt.Errorf("it has ended")
		}
		select {
		case <-changed:
		case <-tr.done:
		case <-timeout:
			return nil, at, fmt.Errorf("nothing in %v", patience)
		}
	}
}

func (tr *transcript) look(re *regexp.Regexp) ([]string, time.Time, <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for tr.read < len(tr.lines) {
		n := tr.read
		tr.read++
		if match := re.FindStringSubmatch(tr.lines[n]); match != nil {
			return match, tr.times[n], nil
		}
	}
	return nil, time.Time{}, tr.changed
}

// all returns what was printed until now.
func (tr *transcript) all() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return strings.Join(append(slices.Clone(tr.lines), tr.partial), "\n")
}

// until waits until something holds that gives no sign when it does.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
