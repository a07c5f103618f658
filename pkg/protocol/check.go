package protocol

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// check tells what in a decoded message is out of bounds. Every text is for the
// person who wrote the client.

func (m Login) check() error {
	switch {
	case m.Name != "" && !ValidName(m.Name):
		return badName("name")
	case m.Room != "" && !ValidName(m.Room):
		return badName("room")
	case len(m.Password) > MaxPasswordLen:
		return tooLong("password", MaxPasswordLen)
	case len(m.Token) > MaxTokenLen:
		return tooLong("token", MaxTokenLen)
	case len(m.Resume.Secret) > MaxTokenLen:
		return tooLong("resume", MaxTokenLen)
	}
	return nil
}

func (m Offer) check() error  { return checkDescription(m.Name, m.Call, m.Offer, "offer") }
func (m Answer) check() error { return checkDescription(m.Name, m.Call, m.Answer, "answer") }

func checkDescription(name, call string, d Description, kind string) error {
	switch {
	case d.Type != kind:
		return fmt.Errorf("%s.type must be %q", kind, kind)
	case d.SDP == "":
		return fmt.Errorf("%s.sdp is missing", kind)
	case d.Candidates() > MaxCallCandidate:
		return fmt.Errorf("%s.sdp has %d candidates, more than %d", kind, d.Candidates(), MaxCallCandidate)
	}
	return checkParty(name, call)
}

func (m Candidate) check() error {
	if err := m.Candidate.check(); err != nil {
		return err
	}
	return checkParty(m.Name, m.Call)
}

func (m Candidates) check() error {
	if len(m.Candidates) > MaxCandidates {
		return fmt.Errorf("candidates holds more than %d", MaxCandidates)
	}
	for _, c := range m.Candidates {
		if err := c.check(); err != nil {
			return err
		}
	}
	return checkParty(m.Name, m.Call)
}

func (c *CandidateInit) check() error {
	switch {
	case c == nil:
		return nil
	case strings.ContainsFunc(c.Candidate, unicode.IsControl): // it becomes a line of an SDP
		return errors.New("candidate.candidate holds control characters")
	case len(c.Candidate) > MaxCandidateLen:
		return tooLong("candidate.candidate", MaxCandidateLen)
	case c.SDPMid != nil && len(*c.SDPMid) > MaxCandidateLen:
		return tooLong("candidate.sdpMid", MaxCandidateLen)
	case c.UsernameFragment != nil && len(*c.UsernameFragment) > MaxCandidateLen:
		return tooLong("candidate.usernameFragment", MaxCandidateLen)
	}
	return nil
}

func (m Ringing) check() error     { return checkCall(m.Name, m.Call) }
func (m Accept) check() error      { return checkCall(m.Name, m.Call) }
func (m Renegotiate) check() error { return checkCall(m.Name, m.Call) }

func (m Reject) check() error {
	switch m.Reason {
	case ReasonBusy, ReasonDeclined, ReasonUnsupported:
		return checkParty(m.Name, m.Call)
	}
	return fmt.Errorf("reason must be %s, %s or %s", ReasonBusy, ReasonDeclined, ReasonUnsupported)
}

func (m Leave) check() error {
	if len(m.Reason) > MaxReasonLen {
		return tooLong("reason", MaxReasonLen)
	}
	if m.Name == "" && m.Call == "" {
		return nil
	}
	return checkParty(m.Name, m.Call)
}

func (Peers) check() error { return nil }
func (ICE) check() error   { return nil }

func (m Refresh) check() error {
	switch {
	case m.Token == "":
		return fmt.Errorf("token is missing")
	case len(m.Token) > MaxTokenLen:
		return tooLong("token", MaxTokenLen)
	}
	return nil
}

// checkParty checks an addressee and the call id, which a plain client leaves out.
func checkParty(name, call string) error {
	if call == "" {
		if !ValidName(name) {
			return badName("name")
		}
		return nil
	}
	return checkCall(name, call)
}

func checkCall(name, call string) error {
	if !ValidName(name) {
		return badName("name")
	}
	if !ValidCallID(call) {
		return fmt.Errorf("call must be %d base64url characters", CallIDLen)
	}
	return nil
}

func badName(field string) error {
	return fmt.Errorf("%s must be 1 to %d letters, digits or . _ @ + -", field, MaxNameLen)
}

func tooLong(field string, limit int) error {
	return fmt.Errorf("%s is longer than %d bytes", field, limit)
}
