//go:build integration

package e2e

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// iceEntry is what `sigctl turn` prints to be pasted.
type iceEntry struct {
	URLs                 []string
	Username, Credential string
}

// relay is a running `sigctl turn`.
type relay struct {
	*process
	entry      iceEntry
	host, port string
}

func startTURN(t *testing.T, args ...string) *relay {
	t.Helper()
	argv := append([]string{sigctl, "turn", "--data", newDataDir(t), "--listen", "127.0.0.1:0"}, args...)
	r := &relay{process: start(t, "turn", argv)}
	line, _ := r.await(r.out, `^\{.*\}$`)
	if err := json.Unmarshal([]byte(line[0]), &r.entry); err != nil {
		t.Fatal(err)
	}
	for _, url := range r.entry.URLs {
		at, ok := strings.CutPrefix(url, "turn:")
		if !ok {
			continue
		}
		at, _, _ = strings.Cut(at, "?")
		var err error
		if r.host, r.port, err = net.SplitHostPort(at); err != nil {
			t.Fatal(err)
		}
	}
	if r.port == "" {
		t.Fatalf("%v has no turn: URL", r.entry.URLs)
	}
	return r
}

// secretFile returns a file with the secret of a relay.
func secretFile(t *testing.T) (path, secret string) {
	t.Helper()
	path, secret = filepath.Join(t.TempDir(), "secret"), strings.Repeat("s3cret", 8)
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, secret
}

// Two clients of coturn's relay to each other, which needs no allowed peer: by
// channels and indications, with the secret and with the entry that is printed.
func TestTURNAlone(t *testing.T) {
	t.Parallel()
	uclient := needProgram(t, "turnutils_uclient", "coturn")
	file, secret := secretFile(t)
	r := startTURN(t, "--realm", "example.com", "--secret", "file:"+file, "--old-channels")
	none := regexp.MustCompile(`Total lost packets 0 .*total send dropped 0`)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"secret, channels", []string{"-W", secret, "-u", "alice"}},
		{"secret, indications", []string{"-s", "-W", secret, "-u", "alice"}},
		{"entry, channels", []string{"-u", r.entry.Username, "-w", r.entry.Credential}},
		{"entry, indications", []string{"-s", "-u", r.entry.Username, "-w", r.entry.Credential}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			argv := append([]string{uclient, "-y", "-c", "-m", "2", "-n", "20", "-z", "5", "-p", r.port}, tt.args...)
			p := run(t, "turnutils_uclient", append(argv, r.host))
			if out := p.out.all() + p.err.all(); !none.MatchString(out) || !strings.Contains(out, "tot_recv_msgs=40") {
				t.Error("want all 40 messages back")
			}
		})
	}
}

// What the relay refuses, what it tells a STUN client, and how it ends.
func TestTURNAnswers(t *testing.T) {
	t.Parallel()
	uclient := needProgram(t, "turnutils_uclient", "coturn")
	file, _ := secretFile(t)
	r := startTURN(t, "--realm", "example.com", "--secret", "file:"+file)
	wrong := run(t, "turnutils_uclient", []string{uclient, "-y", "-c", "-n", "1", "-p", r.port, "-u", r.entry.Username, "-w", "wrong", r.host})
	if out := wrong.out.all() + wrong.err.all(); !strings.Contains(out, "Cannot complete Allocation") || strings.Contains(out, "tot_recv_msgs") {
		t.Errorf("a wrong credential: want an error:\n%s", tail(out))
	}

	stun := run(t, "turnutils_stunclient", []string{needProgram(t, "turnutils_stunclient", "coturn"), "-p", r.port, r.host})
	if out := stun.out.all() + stun.err.all(); !regexp.MustCompile(`UDP reflexive addr: 127\.0\.0\.1:\d+`).MatchString(out) {
		t.Errorf("stunclient got no address:\n%s", out)
	}
	r.signal(os.Interrupt)
	r.wantExit(0)
}

// Signaling here, the relay there, with the same secret.
func TestOutsideRelay(t *testing.T) {
	t.Parallel()
	file, _ := secretFile(t)
	r := startTURN(t, "--secret", "file:"+file)
	s := startServe(t, "--demo", "--turn", "off", "--turn-secret", "file:"+file, "--ice-server", "turn:"+net.JoinHostPort(r.host, r.port))
	user1 := s.chat("user1")
	user2 := s.chat("user2", "--call", "user1", "--relay")
	user1.wantPath("relay")
	user2.wantPath("relay")
	user2.says("hello")
	user1.wantLine("user2: hello")
	r.wantStatus("allocation.*user=user2")
}
