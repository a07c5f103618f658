package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/websocket"
	"github.com/rogpeppe/go-internal/testscript"
)

// Commands of the scripts, beside testscript's own:
//
//	exits CODE PROGRAM ARGS...          run; the exit code must be CODE
//	start NAME [<FILE] PROGRAM ARGS...  run in the background; without FILE the input stays open
//	expect NAME REGEXP                  wait until its output has a match; a group's match becomes $NAME
//	interrupt NAME CODE                  interrupt and wait; the exit code must be CODE
//	crash NAME                          kill -9, and wait
//	finish NAME CODE                    close its input and wait
//	type NAME LINE                      write a line to its input
//
//	stack NAME PASSWORD [silent]        another WebRTC stack calls user1, waits for a text, then closes its chat
//	                                    channel and keeps the connection; a silent one is answered and
//	                                    never connects
//	end-stack                           close that connection, too
//
//	get STATUS URL                      ask an HTTP server, which must answer STATUS; its answer is in the file body
//	redis KEY VALUE                     start a Redis with a key set by hand; its URL becomes $REDIS
//
// interrupt and finish leave what it wrote in the files NAME.out and NAME.err.

type processesKeyType struct{}

var processesKey processesKeyType

// processes are those that a script started and did not wait for.
type processes map[string]*process

type process struct {
	cmd      *exec.Cmd
	stdin    interface{ Close() error }
	out, err *transcript
	done     chan struct{} // closed when it has ended
	waitErr  error         // set before
}

// transcript is what a process wrote to one stream.
type transcript struct {
	changed *sync.Cond // shared by the streams of a process

	// guarded by changed.L
	text bytes.Buffer
	all  *bytes.Buffer // of both streams
	end  *bool         // the process has ended
}

func (t *transcript) Write(p []byte) (int, error) {
	t.changed.L.Lock()
	defer t.changed.L.Unlock()
	defer t.changed.Broadcast()
	t.all.Write(p)
	return t.text.Write(p)
}

// await returns the first match of re in what both streams have, or nil if the
// process ends without.
func (t *transcript) await(re *regexp.Regexp) []string {
	t.changed.L.Lock()
	defer t.changed.L.Unlock()
	for {
		if m := re.FindStringSubmatch(t.all.String()); m != nil {
			return m
		}
		if *t.end {
			return nil
		}
		t.changed.Wait()
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	checkCode(ts, args[0], err)
}

func checkCode(ts *testscript.TestScript, want string, err error) {
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("run: %v", err)
	}
	if strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME [<FILE] PROGRAM ARGS...")
	}
	name, args := args[0], args[1:]
	file, fromFile := strings.CutPrefix(args[0], "<")
	if fromFile {
		args = args[1:]
	}
	program, err := exec.LookPath(args[0])
	ts.Check(err)
	p := &process{cmd: exec.Command(program, args[1:]...), done: make(chan struct{})}
	p.cmd.Dir = ts.Getenv("WORK")
	p.cmd.Env = scriptEnv(ts)
	changed, all, end := sync.NewCond(new(sync.Mutex)), new(bytes.Buffer), new(bool)
	p.out = &transcript{changed: changed, all: all, end: end}
	p.err = &transcript{changed: changed, all: all, end: end}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	if fromFile {
		f, err := os.Open(ts.MkAbs(file))
		ts.Check(err)
		p.cmd.Stdin, p.stdin = f, f
	} else {
		p.stdin, err = p.cmd.StdinPipe()
		ts.Check(err)
	}
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.done)
		p.waitErr = p.cmd.Wait()
		changed.L.Lock()
		defer changed.L.Unlock()
		*end = true
		changed.Broadcast()
	}()
	ts.Value(processesKey).(processes)[name] = p
	ts.Defer(func() {
		p.cmd.Process.Kill() // already ended, if the script went well
		<-p.done
		p.stdin.Close()
		ts.Logf("[%s]\n%s", name, all)
	})
}

// scriptEnv is the environment of the script as it is now.
func scriptEnv(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "WORK", "TMPDIR", "XDG_DATA_HOME", "SIGCTL_PASSWORD", "SIGCTL_SERVER", "TESTSCRIPT_COMMAND", "GOCOVERDIR", "GORACE",
	} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func started(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey).(processes)[name]
	if p == nil {
		ts.Fatalf("no process %q was started", name)
	}
	return p
}

func cmdExpect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expect NAME REGEXP")
	}
	match := started(ts, args[0]).out.await(regexp.MustCompile("(?m)" + args[1]))
	if match == nil {
		ts.Fatalf("%s ended without writing %q", args[0], args[1])
	}
	if len(match) > 1 {
		ts.Setenv(args[0], match[1])
	}
}

func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: interrupt NAME CODE")
	}
	p := started(ts, args[0])
	ts.Check(p.cmd.Process.Signal(os.Interrupt))
	p.finish(ts, args[0], args[1])
}

func cmdCrash(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: crash NAME")
	}
	p := started(ts, args[0])
	ts.Check(p.cmd.Process.Kill())
	<-p.done
}

func cmdFinish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: finish NAME CODE")
	}
	p := started(ts, args[0])
	p.stdin.Close()
	p.finish(ts, args[0], args[1])
}

func (p *process) finish(ts *testscript.TestScript, name, code string) {
	<-p.done
	for file, t := range map[string]*transcript{name + ".out": p.out, name + ".err": p.err} {
		ts.Check(os.WriteFile(ts.MkAbs(file), t.text.Bytes(), 0o600))
	}
	checkCode(ts, code, p.waitErr)
}

func cmdType(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: type NAME LINE")
	}
	_, err := io.WriteString(started(ts, args[0]).stdin.(io.Writer), args[1]+"\n")
	ts.Check(err)
}

type stackKeyType struct{}

var stackKey stackKeyType

func cmdStack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: stack NAME PASSWORD [silent]")
	}
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, _, err := dialer.Dial(ts.Getenv("SIGCTL_SERVER"), nil)
	ts.Check(err)
	ts.Check(ws.WriteJSON(map[string]string{"type": "login", "name": args[0], "password": args[1]}))
	for reply := map[string]any{}; reply["type"] != "login"; {
		clear(reply)
		ts.Check(ws.ReadJSON(&reply))
	}
	s, err := callUser1(ws, len(args) == 3)
	ts.Check(err)
	end := sync.OnceFunc(s.close)
	ts.Defer(end)
	*ts.Value(stackKey).(*func()) = end
	if s.silent {
		<-s.answered
		return
	}
	<-s.heard
	ts.Check(s.chat.Close())
}

func cmdEndStack(ts *testscript.TestScript, neg bool, args []string) {
	(*ts.Value(stackKey).(*func()))()
}

func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get STATUS URL")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(args[1])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("body"), body, 0o600))
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("%s: %s, want %s\n%s", args[1], resp.Status, args[0], body)
	}
}

func cmdRedis(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: redis KEY VALUE")
	}
	server := miniredis.NewMiniRedis()
	ts.Check(server.Start())
	ts.Defer(server.Close)
	ts.Check(server.Set(args[0], args[1]))
	ts.Setenv("REDIS", "redis://"+server.Addr())
}
