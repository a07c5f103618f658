//go:build integration

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"github.com/sigctl/sigctl/pkg/turncred"
)

// Twenty relayed calls do not notice that the relay gets a new secret, and then that the old one is gone. What the secrets
// open changes at once.
func TestSecretRotatesUnderCalls(t *testing.T) {
	t.Parallel()
	const calls = 20
	before, after := turncred.Generate(), turncred.Generate()
	file := t.TempDir() + "/secret"
	writeSecrets(t, file, before)
	r := startTURN(t, "--realm", "example.com", "--secret", "file:"+file)
	old := issuer(t, before)
	var all []*relayedCall
	for n := range calls {
		user := fmt.Sprint("caller", n)
		all = append(all, r.call(t, old.Issue(user, time.Hour, time.Now())))
	}
	unspent := old.Issue("unspent", time.Hour, time.Now())
	wantCallsGoOn(t, all)

	writeSecrets(t, file, after, before)
	r.wantStatus(`the secret has changed.* secrets=2`)
	wantCallsGoOn(t, all)
	r.wantOpens(t, unspent, true)
	fresh := issuer(t, after).Issue("fresh", time.Hour, time.Now())
	r.wantOpens(t, fresh, true)

	writeSecrets(t, file, after)
	r.wantStatus(`the secret has changed.* secrets=1`)
	wantCallsGoOn(t, all)
	r.wantOpens(t, unspent, false)
	r.wantOpens(t, fresh, true)
	wantCallsGoOn(t, append(all, r.call(t, issuer(t, after).Issue("newcomer", time.Hour, time.Now()))))
	if n := strings.Count(r.err.all(), "msg=allocation "); n != 2*calls+2+3 {
		t.Errorf("%d allocations are logged, want those of the calls and 3: none was opened again", n)
	}
}

// writeSecrets replaces a secret file whole.
func writeSecrets(t *testing.T, path string, secrets ...string) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(strings.Join(secrets, "\n")+"\n"), 0o600)
	if err := errors.Join(err, os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// issuer is who has a secret, as a relay has it.
func issuer(t *testing.T, text string) *turncred.Secrets {
	t.Helper()
	list, err := turncred.ParseSecrets([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := turncred.NewSecrets(list...)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

// caller is a client of the relay with an allocation.
type caller struct {
	net.PacketConn // the relayed address
	client         *turn.Client
	credential     turncred.Credential
}

// open allocates. What was opened is given up when the test ends.
func (r *relay) open(t *testing.T, credential turncred.Credential) (*caller, error) {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: net.JoinHostPort(r.host, r.port), Conn: socket,
		Username: credential.Username, Password: credential.Password, LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { relayed.Close() })
	return &caller{relayed, c, credential}, nil
}

// wantOpens checks whether a credential opens something new.
func (r *relay) wantOpens(t *testing.T, credential turncred.Credential, want bool) {
	t.Helper()
	if _, err := r.open(t, credential); (err == nil) != want || err != nil && !strings.Contains(err.Error(), "401") {
		t.Errorf("an allocation with %s: got %v, want one: %v, or error 401", credential.Username, err, want)
	}
}

// refresh prolongs the allocation with the credential that opened it.
func (c *caller) refresh() error {
	var nonce stun.Nonce
	var realm stun.Realm
	ask := func(with ...stun.Setter) (*stun.Message, error) {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest)}, with...)...)
		if err != nil {
			return nil, err
		}
		result, err := c.client.PerformTransaction(m, c.client.TURNServerAddr(), false)
		return result.Msg, err
	}
	challenge, err := ask()
	if err != nil {
		return err
	}
	if err := errors.Join(nonce.GetFrom(challenge), realm.GetFrom(challenge)); err != nil {
		return err
	}
	name := c.credential.Username
	answer, err := ask(stun.NewUsername(name), realm, nonce, stun.NewLongTermIntegrity(name, realm.String(), c.credential.Password))
	if err == nil && answer.Type.Class != stun.ClassSuccessResponse {
		err = fmt.Errorf("refused with %v", answer)
	}
	return err
}

// relayedCall is two callers who send each other packets all the time, one after the other.
type relayedCall struct {
	a, b  *caller
	trips chan error // gets one for each there and back, if somebody waits for it; an error is the last
}

// call begins a call, which ends with the test.
func (r *relay) call(t *testing.T, credential turncred.Credential) *relayedCall {
	t.Helper()
	c := &relayedCall{trips: make(chan error)}
	for _, side := range []**caller{&c.a, &c.b} {
		opened, err := r.open(t, credential)
		if err != nil {
			t.Fatalf("allocate for %s: %v", credential.Username, err)
		}
		*side = opened
	}
	if err := errors.Join(c.a.client.CreatePermission(c.b.LocalAddr()), c.b.client.CreatePermission(c.a.LocalAddr())); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		for ; ; time.Sleep(5 * time.Millisecond) { // leaves time for the others
			if err := errors.Join(pass(c.a, c.b), pass(c.b, c.a)); err != nil {
				select {
				case c.trips <- err:
				case <-done:
				}
				return
			}
			select {
			case c.trips <- nil:
			case <-done:
				return
			default:
			}
		}
	})
	t.Cleanup(func() { close(done); talking.Wait() })
	return c
}

// pass sends a packet, and waits for it.
func pass(from, to *caller) error {
	if _, err := from.WriteTo([]byte("hello"), to.LocalAddr()); err != nil {
		return err
	}
	buffer := make([]byte, 100)
	to.SetReadDeadline(time.Now().Add(patience))
	n, src, err := to.ReadFrom(buffer)
	if err == nil && (string(buffer[:n]) != "hello" || src.String() != from.LocalAddr().String()) {
		err = fmt.Errorf("got %q from %v", buffer[:n], src)
	}
	return err
}

// wantCallsGoOn checks that all calls refresh and pass packets from now on, and have lost none.
func wantCallsGoOn(t *testing.T, calls []*relayedCall) {
	t.Helper()
	for n, c := range calls {
		if err := errors.Join(c.a.refresh(), c.b.refresh()); err != nil {
			t.Fatalf("call %d: refresh: %v", n, err)
		}
		for range 3 {
			select {
			case err := <-c.trips:
				if err != nil {
					t.Fatalf("call %d: %v", n, err)
				}
			case <-time.After(patience):
				t.Fatalf("call %d passes nothing", n)
			}
		}
	}
}
