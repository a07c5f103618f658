package turnserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
)

const (
	// maxRequest bounds a request, in bytes: user name, realm and nonce at their longest, and maxPeers addresses.
	maxRequest = 4096

	magicCookie = 0x2112A442 // RFC 8489 section 5
	headerSize  = 20
)

// Attributes of RFC 8656 that the library has no name for.
const (
	attrAdditionalAddressFamily stun.AttrType = 0x8000
	attrAddressErrorCode        stun.AttrType = 0x8001
)

// Address families of attributes, RFC 8656 section 18.8.
const (
	numberIPv4 = 1
	numberIPv6 = 2
)

// request is a STUN message of a client while it is answered.
type request struct {
	client     *client
	message    stun.Message    // as it came
	attributes stun.Attributes // those that count: what comes after MESSAGE-INTEGRITY does not
	isSigned   bool            // it has MESSAGE-INTEGRITY, whose ever
	hasPrint   bool            // it has FINGERPRINT, and so will the answer

	// set by the guard
	allocation *allocation // that the client has, or nil
	signer     identity    // once it is authenticated; what is then answered is signed with that key
	isOwner    bool        // the signer is the owner of the allocation

	isMalformed bool // an attribute that was looked at is
}

// reset forgets everything but the memory for attributes.
func (r *request) reset() {
	*r = request{message: stun.Message{Attributes: r.message.Attributes[:0]}}
}

// parse takes in a STUN message, of which it keeps parts, and reports whether it is one (RFC 8489 sections 5, 6.3 and 14.7).
func (r *request) parse(raw []byte) bool {
	if len(raw) > maxRequest || len(raw) < headerSize || headerSize+int(binary.BigEndian.Uint16(raw[2:])) != len(raw) || len(raw)%4 != 0 {
		return false
	}
	m := &r.message
	m.Raw = raw[:len(raw):len(raw)] // what the library appends is not written behind it
	if m.Decode() != nil {
		return false
	}
	r.attributes = m.Attributes
	if last := len(r.attributes) - 1; last >= 0 && r.attributes[last].Type == stun.AttrFingerprint {
		r.attributes, r.hasPrint = r.attributes[:last], true
	}
	for i, attribute := range r.attributes {
		if attribute.Type == stun.AttrFingerprint { // before others
			return false
		}
		if attribute.Type == stun.AttrMessageIntegrity && !r.isSigned {
			r.attributes, r.isSigned = r.attributes[:i+1], true
		}
	}
	return !r.hasPrint || stun.Fingerprint.Check(m) == nil
}

// get returns the value of the first attribute of a type, and whether there is one.
func (r *request) get(t stun.AttrType) ([]byte, bool) {
	attribute, ok := r.attributes.Get(t)
	return attribute.Value, ok
}

// getSized is get for an attribute that must have a size: one that has not counts as missing, and isMalformed is set.
func (r *request) getSized(t stun.AttrType, size int) ([]byte, bool) {
	value, ok := r.get(t)
	if ok && len(value) != size {
		r.isMalformed = true
		return nil, false
	}
	return value, ok
}

// isSignedWith reports whether MESSAGE-INTEGRITY was made with key. The comparison takes the same time always.
func (r *request) isSignedWith(key []byte) bool {
	return stun.MessageIntegrity(key).Check(&r.message) == nil
}

// unknown lists the attributes that a server has to understand and we do not (RFC 8489 section 6.3.1): DONT-FRAGMENT is
// one, because the relay cannot set that bit packet by packet.
func (r *request) unknown() unknownAttributes {
	var unknown unknownAttributes
	for _, attribute := range r.attributes {
		switch attribute.Type {
		case stun.AttrMappedAddress, stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrErrorCode, stun.AttrUnknownAttributes,
			stun.AttrRealm, stun.AttrNonce, stun.AttrXORMappedAddress,
			stun.AttrChannelNumber, stun.AttrLifetime, stun.AttrXORPeerAddress, stun.AttrData, stun.AttrXORRelayedAddress,
			stun.AttrRequestedAddressFamily, stun.AttrEvenPort, stun.AttrRequestedTransport, stun.AttrReservationToken:
		default:
			if attribute.Type.Required() {
				unknown = append(unknown, attribute.Type)
			}
		}
	}
	return unknown
}

// unknownAttributes is UNKNOWN-ATTRIBUTES, RFC 8489 section 14.9. The library writes each in twice its size.
type unknownAttributes []stun.AttrType

func (u unknownAttributes) AddTo(m *stun.Message) error {
	var value []byte
	for _, t := range u {
		value = binary.BigEndian.AppendUint16(value, t.Value())
	}
	m.Add(stun.AttrUnknownAttributes, value)
	return nil
}

// addressIn reads an XOR-…-ADDRESS (RFC 8489 section 14.2) of a message with that transaction id. IPv4 mapped to IPv6
// stays what it is.
func addressIn(value []byte, transaction [stun.TransactionIDSize]byte) (netip.AddrPort, bool) {
	if len(value) < 4 {
		return netip.AddrPort{}, false
	}
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], magicCookie)
	copy(mask[4:], transaction[:])
	var ip [16]byte
	for i := range copy(ip[:], value[4:]) {
		ip[i] ^= mask[i]
	}
	port := binary.BigEndian.Uint16(value[2:]) ^ magicCookie>>16
	switch number := value[1]; {
	case number == numberIPv4 && len(value) == 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[:4])), port), true
	case number == numberIPv6 && len(value) == 20:
		return netip.AddrPortFrom(netip.AddrFrom16(ip), port), true
	}
	return netip.AddrPort{}, false
}

// refuse makes an error response and counts it.
func (r *request) refuse(why *refusal) []byte {
	r.client.listener.counters.errors[why.code].Add(1)
	return r.respond(stun.ClassErrorResponse, append([]stun.Setter{why}, why.with...)...)
}

// respond makes a response, signed if it is known with which key.
func (r *request) respond(class stun.MessageClass, with ...stun.Setter) []byte {
	m := stun.New()
	m.TransactionID, m.Type = r.message.TransactionID, stun.NewType(r.message.Type.Method, class)
	m.WriteHeader()
	if r.signer.key != nil {
		with = append(with, stun.MessageIntegrity(r.signer.key))
	}
	if r.hasPrint {
		with = append(with, stun.Fingerprint)
	}
	for _, setter := range with {
		if err := setter.AddTo(m); err != nil {
			panic("make response: " + err.Error()) // all of it is ours
		}
	}
	return m.Raw
}

// lifetimeOf is LIFETIME (RFC 8656 section 18.2).
func lifetimeOf(d time.Duration) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))}
}

// addressAttribute is an XOR-…-ADDRESS.
type addressAttribute struct {
	of stun.AttrType
	at netip.AddrPort
}

func (a addressAttribute) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress{IP: a.at.Addr().AsSlice(), Port: int(a.at.Port())}.AddToAs(m, a.of)
}

func peerAttribute(at netip.AddrPort) stun.Setter {
	return addressAttribute{stun.AttrXORPeerAddress, at}
}

// refusal is an error response to be.
type refusal struct {
	code   stun.ErrorCode
	reason string        // empty: the usual one
	with   []stun.Setter // attributes beside the code
}

func refuse(code stun.ErrorCode, with ...stun.Setter) *refusal {
	return &refusal{code: code, with: with}
}

func (r *refusal) Error() string { return fmt.Sprintf("refused with %d %s", r.code, r.reason) }

// AddTo adds ERROR-CODE.
func (r *refusal) AddTo(m *stun.Message) error {
	if r.reason == "" {
		return r.code.AddTo(m)
	}
	return stun.ErrorCodeAttribute{Code: r.code, Reason: []byte(r.reason)}.AddTo(m)
}
