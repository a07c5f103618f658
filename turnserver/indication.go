package turnserver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/udp"
)

// Indications carry data without a channel:
//
//	type (16) | length (16) | magic cookie (32) | transaction id (96) | attributes
//	attribute: type (16) | length (16) | value | 0 to 3 bytes of padding
//
// They begin most calls, until a channel is bound, so nothing is allocated for them either.
const (
	sendType        = 0x0016
	dataType        = 0x0017
	attributeHeader = 4
	maxSTUN         = headerSize + 0xFFFC
)

// isSend reports whether a STUN message is a Send indication.
func isSend(message []byte) bool { return binary.BigEndian.Uint16(message) == sendType }

// parseSend returns what a Send indication carries, and to whom. It is not ok if something is missing, broken or has to
// be understood and is not: DONT-FRAGMENT is that, as we cannot do it (RFC 8656 section 11.2). FINGERPRINT is not looked
// at: it tells STUN from what else might come, and nothing else does.
func parseSend(message []byte) (peer netip.AddrPort, payload []byte, ok bool) {
	if int(binary.BigEndian.Uint16(message[2:])) != len(message)-headerSize || len(message)%4 != 0 ||
		binary.BigEndian.Uint32(message[4:]) != magicCookie {
		return peer, nil, false
	}
	transaction := [stun.TransactionIDSize]byte(message[8:headerSize])
	hasPeer, hasPayload := false, false
	for rest := message[headerSize:]; len(rest) > 0; {
		length := int(binary.BigEndian.Uint16(rest[2:]))
		padded := attributeHeader + (length+3)&^3
		if padded > len(rest) {
			return peer, nil, false
		}
		value := rest[attributeHeader : attributeHeader+length]
		switch t := stun.AttrType(binary.BigEndian.Uint16(rest)); {
		case t == stun.AttrXORPeerAddress && !hasPeer: // the first one counts
			if peer, hasPeer = addressIn(value, transaction); !hasPeer {
				return peer, nil, false
			}
		case t == stun.AttrData && !hasPayload:
			payload, hasPayload = value, true
		case t == stun.AttrMessageIntegrity, t == stun.AttrMessageIntegritySHA256: // what follows does not count
			return peer, payload, hasPeer && hasPayload
		case t.Required() && !isUnderstood(t):
			return peer, nil, false
		}
		rest = rest[padded:]
	}
	return peer, payload, hasPeer && hasPayload
}

// isUnderstood: these say nothing in an indication, which nobody authenticates.
func isUnderstood(t stun.AttrType) bool {
	switch t {
	case stun.AttrXORPeerAddress, stun.AttrData, stun.AttrUsername, stun.AttrRealm, stun.AttrNonce:
		return true
	}
	return false
}

// indications are where Data indications are made.
var indications = sync.Pool{New: func() any { return new([maxSTUN]byte) }}

// sendIndication sends the client a payload in a Data indication (RFC 8656 section 11.4).
func (c *client) sendIndication(q *udp.Queue, peer netip.AddrPort, payload []byte) bool {
	if headerSize+attributeHeader+20+attributeHeader+len(payload)+3 > maxSTUN {
		return false
	}
	buffer := indications.Get().(*[maxSTUN]byte)
	defer indications.Put(buffer)
	return c.sendCopy(q, appendData(buffer[:0], peer, payload))
}

// appendData appends a Data indication to b, which is empty.
func appendData(b []byte, peer netip.AddrPort, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, dataType<<16)
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	b = binary.BigEndian.AppendUint32(b, rand.Uint32())
	b = binary.BigEndian.AppendUint64(b, rand.Uint64())
	b = appendAddress(b, peer)
	b = binary.BigEndian.AppendUint16(b, uint16(stun.AttrData))
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	b = append(b, make([]byte, -len(b)&3)...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize))
	return b
}

// appendAddress appends XOR-PEER-ADDRESS to a message that begins with b.
func appendAddress(b []byte, peer netip.AddrPort) []byte {
	key := b[4:headerSize]
	b = binary.BigEndian.AppendUint16(b, uint16(stun.AttrXORPeerAddress))
	if ip := peer.Addr(); ip.Is4() {
		v4 := ip.As4()
		b = append(b, 0, 8, 0, 1)
		b = binary.BigEndian.AppendUint16(b, peer.Port()^magicCookie>>16)
		return appendXOR(b, v4[:], key)
	}
	v6 := peer.Addr().As16()
	b = append(b, 0, 20, 0, 2)
	b = binary.BigEndian.AppendUint16(b, peer.Port()^magicCookie>>16)
	return appendXOR(b, v6[:], key)
}

func appendXOR(b, ip, key []byte) []byte {
	for i := range ip {
		b = append(b, ip[i]^key[i])
	}
	return b
}
