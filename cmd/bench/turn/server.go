package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/turncred"
)

const (
	serverCore = "0"
	loadCore   = "1"

	// The relayed ports lie below those that the system picks for clients.
	minPort, maxPort = "10000", "32000"

	secretVariable = "SIGCTL_BENCH_SECRET"
)

// server is a running TURN server.
type server struct {
	name string
	url  string
	cmd  *exec.Cmd
}

// start runs a program on the servers' core, with the environment that it needs, and waits until it answers at addr.
func (c *contest) start(ctx context.Context, name, addr string, args ...string) (*server, error) {
	args = c.pinned(serverCore, args...)
	s := &server{name: name, url: "turn:" + addr, cmd: exec.Command(args[0], args[1:]...)}
	s.cmd.Env = c.env
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := awaitSTUN(ctx, addr); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return s, nil
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

// pinned makes args run on one core.
func (c *contest) pinned(core string, args ...string) []string {
	args = append([]string{"taskset", "-c", core}, args...)
	if c.opts.realtime {
		args = append([]string{"chrt", "--rr", "1"}, args...)
	}
	return args
}

// startOurs starts our relay as users have it: guard, policy and quotas are on.
func (c *contest) startOurs(ctx context.Context) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return c.start(ctx, "ours", addr, c.opts.sigctl, "turn", "--data", c.dir, "--listen", addr, "--secret", "env:"+secretVariable,
		"--min-port", minPort, "--max-port", maxPort, "--allow-peer", "127.0.0.0/8")
}

// startCoturn starts coturn with all switched off that would cost it time: TLS, its command line, logs.
func (c *contest) startCoturn(ctx context.Context) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	return c.start(ctx, "coturn", addr, c.opts.coturn, "-n", "--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780",
		"--no-stdout-log", "--log-file", os.DevNull, "--simple-log",
		"--pidfile", filepath.Join(c.dir, "coturn.pid"), "--userdb", filepath.Join(c.dir, "coturn.db"),
		"--listening-ip", "127.0.0.1", "--listening-port", port, "--relay-ip", "127.0.0.1", "--min-port", minPort, "--max-port", maxPort,
		"--lt-cred-mech", "--use-auth-secret", "--static-auth-secret", c.secret, "--realm", "example.com",
		"--allow-loopback-peers", "--relay-threads", "1")
}

// freeAddr returns a loopback address whose UDP port was free a moment ago.
func freeAddr() (string, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.LocalAddr().String(), nil
}

// awaitSTUN asks until a STUN server answers.
func awaitSTUN(ctx context.Context, addr string) error {
	const every, patience = 100 * time.Millisecond, 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	buffer := make([]byte, 1500)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_, _ = conn.Write(request.Raw) // refused until it listens
		conn.SetReadDeadline(time.Now().Add(every))
		n, err := conn.Read(buffer)
		if err == nil && stun.IsMessage(buffer[:n]) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("does not answer")
		case <-tick.C:
		}
	}
}

// newSecret is for both servers.
func newSecret() (secret string, env []string) {
	secret = turncred.Generate()
	return secret, append(os.Environ(), secretVariable+"="+secret)
}
