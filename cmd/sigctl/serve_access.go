package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/policy"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/oidc"
)

// accessOptions say who may do what: tokens, outside identities, rules.
type accessOptions struct {
	policy   string
	issuer   string
	tokenTTL time.Duration

	oidcIssuer, oidcAudience       string
	oidcUserClaim, oidcGroupsClaim string
}

func (o *accessOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.policy, "policy", "", "YAML `file` of rules: who may do what in which room (default: everyone everything in the lobby)")
	f.StringVar(&o.issuer, "issuer", "sigctl", "`name` of this server or cluster in its tokens")
	f.DurationVar(&o.tokenTTL, "token-ttl", 10*time.Minute, "how long a room token is valid, 5m to 15m")
	f.StringVar(&o.oidcIssuer, "oidc-issuer", "", "`URL` of an OpenID Connect issuer whose tokens clients exchange for room tokens")
	f.StringVar(&o.oidcAudience, "oidc-audience", "", "`audience` that these tokens must have; for Amazon Cognito the client id")
	f.StringVar(&o.oidcUserClaim, "oidc-user-claim", "sub", "`claim` with the user's name; an email must be verified")
	f.StringVar(&o.oidcGroupsClaim, "oidc-groups-claim", "groups", "`claim` with the user's groups")
}

func (o *accessOptions) check() error {
	var faults []error
	if o.issuer == "" || len(o.issuer) > protocol.MaxNameLen {
		faults = append(faults, badFlag("issuer", "is 1 to 64 characters", "for example --issuer sigctl"))
	}
	if o.tokenTTL < 5*time.Minute || o.tokenTTL > token.MaxLifetime {
		faults = append(faults, badFlag("token-ttl", fmt.Sprintf("%v is not 5m to 15m", o.tokenTTL)))
	}
	if (o.oidcIssuer == "") != (o.oidcAudience == "") {
		faults = append(faults, badFlag("oidc-issuer", "issuer and audience come together",
			"give --oidc-issuer URL and --oidc-audience NAME: a token for another audience is not meant for this server"))
	}
	if o.oidcIssuer != "" {
		v, err := o.outside(nil)
		if err != nil {
			faults = append(faults, badFlag("oidc-issuer", err.Error(), "for example https://login.example.com/realms/main"))
		} else {
			v.Close()
		}
	}
	if o.policy != "" {
		if _, err := policy.OpenFile(o.policy); err != nil {
			faults = append(faults, usage(err, "--policy names the file; go doc …/pkg/policy has an example"))
		}
	}
	return errors.Join(faults...)
}

// outside returns the verifier of the outside issuer, nil if there is none.
func (o *accessOptions) outside(log *slog.Logger) (*oidc.Verifier, error) {
	if o.oidcIssuer == "" {
		return nil, nil
	}
	return oidc.New(&oidc.Config{
		Issuer: o.oidcIssuer, Audience: o.oidcAudience,
		UserClaim: o.oidcUserClaim, GroupsClaim: o.oidcGroupsClaim, Logger: log,
	})
}

// openAccess opens the tokens' keys and the rules.
func (a *app) openAccess(ctx context.Context) (err error) {
	if a.tokens, err = token.Open(ctx, a.backing.keys, a.backing.spent, &token.Options{Issuer: a.opts.access.issuer, Logger: a.log}); err != nil {
		return usage(err)
	}
	if a.outside, err = a.opts.access.outside(a.log); err != nil {
		return usage(err)
	}
	if a.outside != nil {
		a.onClose(a.outside.Close)
	}
	fixed := policy.Default()
	if a.opts.demo {
		fixed = policy.Open()
	}
	a.policy = func() *policy.Policy { return fixed }
	if a.opts.access.policy == "" {
		return nil
	}
	if a.rules, err = policy.OpenFile(a.opts.access.policy); err != nil {
		return usage(err)
	}
	a.policy = a.rules.Current
	return nil
}

// watchPolicy makes the rules follow their file, until ctx ends.
func (a *app) watchPolicy(ctx context.Context) error {
	if a.rules == nil {
		<-ctx.Done()
		return nil
	}
	a.rules.Watch(ctx, func(err error) {
		e := audit.Event{Kind: audit.PolicyReload}
		if err != nil {
			a.log.Error("the changed policy cannot be used, the old one stays", "file", a.opts.access.policy, "err", err)
			e.Outcome, e.Why = audit.OutcomeRefused, err.Error()
		} else {
			a.log.Info("the policy has changed", "file", a.opts.access.policy)
		}
		a.record(e)
	})
	return nil
}
