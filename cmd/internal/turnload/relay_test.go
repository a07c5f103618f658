package turnload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sigctl/sigctl/turnserver"
)

// Our own server, in every direction.
func TestRelay(t *testing.T) {
	s, err := turnserver.Listen(&turnserver.Config{
		Listen: []string{"127.0.0.1:0"}, Realm: "example.com", Users: map[string]string{"user": "password"},
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, UserBandwidth: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		s.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	for _, direction := range []Direction{Up, Down, Both, Relay} {
		for _, indications := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, indications %v", direction, indications), func(t *testing.T) {
				cfg := small(fmt.Sprintf("turn:%s", s.Addrs(turnserver.UDP)[0]))
				cfg.Direction, cfg.Indications, cfg.Warmup = direction, indications, 10*time.Millisecond
				wantAll(t, run(t, cfg))
				cfg.Burst, cfg.Offload = 5, true
				wantAll(t, run(t, cfg))
			})
		}
	}
}
