package main

import (
	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/listen"
)

// proxyOptions say which addresses speak for others.
type proxyOptions struct {
	trusted []string
	header  string
	proxy   bool
}

func (o *proxyOptions) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.trusted, "trusted-proxy", nil, "`CIDR` of a proxy in front that may name the client's address (repeatable)")
	f.StringVar(&o.header, "trusted-proxy-header", "", "the HTTP `header` in which the proxy names it (default "+listen.DefaultHeader+")")
	f.BoolVar(&o.proxy, "proxy-protocol", false, "expect a PROXY header, v1 or v2, on connections from --trusted-proxy")
}

func (o *proxyOptions) check() error {
	_, err := o.proxies()
	return err
}

// proxies returns nil if there are none.
func (o *proxyOptions) proxies() (*listen.Proxies, error) {
	if len(o.trusted) == 0 && o.header != "" {
		return nil, badFlag("trusted-proxy-header", "needs --trusted-proxy", "for example --trusted-proxy 127.0.0.1/32")
	}
	if len(o.trusted) == 0 && o.proxy {
		return nil, badFlag("proxy-protocol", "needs --trusted-proxy", "for example --trusted-proxy 127.0.0.1/32: from everyone else a PROXY header does not count")
	}
	if o.header != "" && o.proxy {
		return nil, badFlag("proxy-protocol", "does not go with --trusted-proxy-header",
			"a proxy that passes connections through lets clients write that header themselves: leave one of them out")
	}
	if len(o.trusted) == 0 {
		return nil, nil
	}
	prefixes, err := parsePrefixes("trusted-proxy", o.trusted)
	if err != nil {
		return nil, err
	}
	p, err := listen.NewProxies(&listen.ProxyOptions{Trusted: prefixes, Header: o.header, PROXY: o.proxy})
	if err != nil {
		return nil, usage(err)
	}
	return p, nil
}
