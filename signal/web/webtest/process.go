//go:build integration

package webtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// process is a browser that runs, with a profile that is removed with it.
type process struct {
	cmd     *exec.Cmd
	profile string
	output  chan struct{} // closed when all that it printed is read
}

// listening is what both browsers print once they can be driven.
var listening = regexp.MustCompile(`listening on (ws://\S+)`)

// startProcess starts a browser, with a flag that names its profile, and returns the
// address that it listens on.
func startProcess(program, profileFlag string, prepare func(profile string) error, flags ...string) (*process, string, error) {
	profile, err := os.MkdirTemp("", "sigctl-webtest-*")
	if err != nil {
		return nil, "", err
	}
	p := &process{profile: profile, output: make(chan struct{})}
	p.cmd = exec.Command(program, append(flags, fmt.Sprintf(profileFlag, profile))...)
	p.cmd.Env = append(os.Environ(), "HOME="+profile, "TMPDIR="+profile)
	// All that it starts ends with it, and it ends with the test.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	address, err := p.start(prepare)
	if err != nil {
		p.close()
		return nil, "", fmt.Errorf("start %s: %w", program, err)
	}
	return p, address, nil
}

func (p *process) start(prepare func(profile string) error) (address string, err error) {
	if err := prepare(p.profile); err != nil {
		close(p.output)
		return "", err
	}
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		close(p.output)
		return "", err
	}
	found, said := make(chan string, 1), new(strings.Builder)
	go func() {
		defer close(p.output)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
				break
			}
			said.WriteString(lines.Text() + "\n")
		}
		close(found)
		_, _ = io.Copy(io.Discard, stderr)
	}()
	select {
	case address, ok := <-found:
		if !ok {
			return "", fmt.Errorf("it ended: %s", said)
		}
		return address, nil
	case <-time.After(Patience):
		return "", fmt.Errorf("it does not listen after %v", Patience)
	}
}

// close ends the browser and removes its profile.
func (p *process) close() {
	if p.cmd.Process != nil {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.output
	_ = p.cmd.Wait() // it was killed
	_ = os.RemoveAll(p.profile)
}
