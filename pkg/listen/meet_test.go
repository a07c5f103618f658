package listen

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestShareTLS(t *testing.T) {
	ours := []string{"stun.turn", "stun.nat-discovery", "http/1.1"}
	for _, tt := range []struct {
		base *tls.Config
		want []string
	}{
		{&tls.Config{}, ours},
		{&tls.Config{NextProtos: []string{"h2", "http/1.1"}}, ours},
		{&tls.Config{NextProtos: []string{"http/1.1", "acme-tls/1"}}, append(slices.Clone(ours), "acme-tls/1")},
	} {
		before := slices.Clone(tt.base.NextProtos)
		got, err := ShareTLS(tt.base)
		if err != nil || !slices.Equal(got.NextProtos, tt.want) {
			t.Errorf("%v: got %v, %v, want %v", before, got.NextProtos, err, tt.want)
		}
		if !slices.Equal(tt.base.NextProtos, before) {
			t.Errorf("%v: it was changed to %v", before, tt.base.NextProtos)
		}
	}
}

// What a configuration returns for each connection offers the same, and its refusals stay.
func TestShareTLSPerConnection(t *testing.T) {
	refused := errors.New("refused")
	own := &tls.Config{NextProtos: []string{"h2"}, ServerName: "own"}
	config, err := ShareTLS(&tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch hello.ServerName {
		case "own":
			return own, nil
		case "refused":
			return nil, refused
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.GetConfigForClient(&tls.ClientHelloInfo{ServerName: "own"})
	if err != nil || got.ServerName != "own" || strings.Join(got.NextProtos, " ") != "stun.turn stun.nat-discovery http/1.1" {
		t.Errorf("own configuration: got %+v, %v", got, err)
	}
	if got, err := config.GetConfigForClient(&tls.ClientHelloInfo{ServerName: "refused"}); got != nil || err != refused {
		t.Errorf("refused: got %v, %v, want %v", got, err, refused)
	}
	if got, err := config.GetConfigForClient(&tls.ClientHelloInfo{}); got != nil || err != nil {
		t.Errorf("no own configuration: got %v, %v, want neither", got, err)
	}
}

func TestShareTLSDemandsNothing(t *testing.T) {
	perConnection := func(auth tls.ClientAuthType) *tls.Config {
		return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			_ = hello.Conn.RemoteAddr()
			return &tls.Config{ClientAuth: auth}, nil
		}}
	}
	for _, tt := range []struct {
		name string
		base *tls.Config
		want string
	}{
		{"no TLS", nil, "without TLS"},
		{"any certificate", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, "demands client certificates"},
		{"a good certificate", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, "demands client certificates"},
		{"any certificate, per connection", perConnection(tls.RequireAnyClientCert), "demands client certificates"},
		{"asked for", &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}, ""},
		{"asked for, per connection", perConnection(tls.RequestClientCert), ""},
	} {
		config, err := ShareTLS(tt.base)
		switch {
		case tt.want == "" && (err != nil || config == nil):
			t.Errorf("%s: got %v", tt.name, err)
		case tt.want != "" && (err == nil || config != nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
