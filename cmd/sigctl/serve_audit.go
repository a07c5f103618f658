package main

import (
	"context"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/audit"
)

// auditOptions say where security events are written down.
type auditOptions struct{ path string }

func (o *auditOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.path, "audit", "", "`file` for the security events, - for the output, or off (default: audit.jsonl in --data)")
}

// openAudit opens the log of security events.
func (a *app) openAudit(context.Context) (err error) {
	switch path := a.opts.audit.path; path {
	case "off":
		return nil
	case "-":
		a.audit = audit.New(a.std.out)
	case "":
		a.audit, err = audit.Open(a.data.audit(), &audit.Options{Logger: a.log})
	default:
		a.audit, err = audit.Open(path, &audit.Options{Logger: a.log})
	}
	if err != nil {
		return badFlag("audit", err.Error(), "name a file that can be written to")
	}
	a.onClose(a.audit.Close)
	return nil
}

// record writes an event down that is not signaling's.
func (a *app) record(e audit.Event) error {
	err := a.audit.Record(e)
	if err != nil {
		a.log.Error("audit record is not written", "event", e.Kind, "err", err)
	}
	return err
}

// recordAllocation writes down who relays through us.
func (a *app) recordAllocation(user string, client, relay netip.AddrPort) {
	a.record(audit.Event{Kind: audit.Allocation, User: user, Address: client.Addr(), Why: "relay " + relay.String()})
}
