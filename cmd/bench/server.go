package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sigctl/sigctl/pkg/user"
)

// server is a running "sigctl serve" with its own data directory.
type server struct {
	args  []string
	addr  string
	data  string
	plain bool

	cmd       *exec.Cmd
	listening time.Duration // from the start to the first connection
	dialed    atomic.Uint32 // connections, for source
}

// serverOptions are how a server is started.
type serverOptions struct {
	users int  // user0 and so on
	plain bool // without TLS
	pin   bool // on the first processor alone
}

// startServer starts a server. Its users' passwords are hashed with the least
// work: the figures are not about argon2id.
func startServer(ctx context.Context, opts options, how serverOptions) (_ *server, err error) {
	s := &server{plain: how.plain}
	if s.data, err = os.MkdirTemp("", "sigctl-bench-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(s.data)
		}
	}()
	if err := addUsers(ctx, s.data, how.users); err != nil {
		return nil, err
	}
	if s.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	if how.pin {
		s.args = []string{"taskset", "-c", "0"}
	}
	s.args = append(s.args, opts.sigctl, "serve", "--data", s.data, "--listen", s.addr, "--turn-listen", "127.0.0.1:0")
	if how.plain {
		s.args = append(s.args, "--tls", "off")
	}
	return s, s.start(ctx)
}

// start starts the process and waits until it listens.
func (s *server) start(ctx context.Context) error {
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.data}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if err := s.waitListening(ctx); err != nil {
		s.end()
		return err
	}
	s.listening = time.Since(began)
	return nil
}

// end ends the process; stop also removes its data.
func (s *server) end() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

func (s *server) stop() error {
	s.end()
	return os.RemoveAll(s.data)
}

func addUsers(ctx context.Context, data string, n int) error {
	store, err := user.OpenBolt(filepath.Join(data, "users.db"))
	if err != nil {
		return err
	}
	defer store.Close()
	hash, err := user.Hash(password, user.MinimalParams)
	if err != nil {
		return err
	}
	for i := range n {
		if err := store.Add(ctx, user.User{Name: userName(i), Hash: hash, Created: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

const password = "correct horse"

func userName(i int) string { return "user" + strconv.Itoa(i) }

// freeAddr returns a loopback address whose port was free a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// waitListening tries to connect until the server answers.
func (s *server) waitListening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w", s.cmd.Path, s.addr, err)
		case <-retry.C:
		}
	}
}

// collect makes the server collect its garbage once, through its admin socket.
func (s *server) collect(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.data, "run", "admin.sock"))
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("collect garbage: " + resp.Status)
	}
	return err
}

// rss returns the resident set in bytes.
func (s *server) rss() (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if kb, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kb, "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

// cpu returns the processor time used so far, by user and system together.
func (s *server) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	const utime, stime = 11, 12 // proc(5), counted from the state
	if len(fields) <= stime {
		return 0, errors.New("short /proc stat")
	}
	var ticks int64
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ is 100 everywhere
}
