package signal

import (
	"github.com/sigctl/sigctl/pkg/protocol"
)

// mayDescribe refuses an offer or answer whose media or data channels are more
// than the session may send or receive.
func (s *session) mayDescribe(m protocol.FromClient) error {
	var d protocol.Description
	switch m := m.(type) {
	case protocol.Offer:
		d = m.Offer
	case protocol.Answer:
		d = m.Answer
	default:
		return nil
	}
	fault := protocol.Error{Code: protocol.CodeForbidden}
	fault.Name, fault.Call = m.(protocol.Forwarded).Party()
	switch lacks, err := d.Exceeds(s.permissions); {
	case err != nil:
		fault.Message = d.Type + ".sdp cannot be checked: " + err.Error()
	case lacks != "":
		fault.Message = "the " + d.Type + " needs the permission " + lacks + ", which you do not have in room " + s.room.name
	default:
		return nil
	}
	return fault
}
