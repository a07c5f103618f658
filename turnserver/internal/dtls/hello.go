package dtls

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// Record types and handshake messages (RFC 5246, sections 6.2.1 and 7.4; RFC 6347, section 4.3).
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeApplicationData  = 23

	messageClientHello        = 1
	messageHelloVerifyRequest = 3
)

// Lengths, and where things are in a record that begins a datagram.
const (
	recordHeader  = 13 // type 1, version 2, epoch 2, sequence number 6, length 2
	messageHeader = 12 // type 1, length 3, message_seq 2, fragment offset 3 and length 3
	randomLen     = 32

	atEpoch      = 3
	atSequence   = 5
	atLength     = 11
	atMessage    = recordHeader
	atMessageSeq = recordHeader + 4

	// maxHello bounds a ClientHello. Those of today's clients are 150 to 600 bytes; one that is longer than the path's MTU
	// would come in fragments, which nobody can check who keeps no state.
	maxHello = 2048
)

// hello is a ClientHello that has a datagram for itself. Its slices are parts of the datagram.
type hello struct {
	sequence   uint64 // of the record
	messageSeq uint16 // 0, or 1 in answer to a HelloVerifyRequest
	begin      []byte // version, random, session id
	cookie     []byte
	end        []byte // cipher suites, compression methods
}

func (h *hello) random() [randomLen]byte { return [randomLen]byte(h.begin[2:]) }

// looksLikeHello reports whether a datagram begins like a ClientHello in clear, and parseHello has to judge it.
func looksLikeHello(p []byte) bool {
	return len(p) > atMessage && p[0] == typeHandshake && epochOf(p) == 0 && p[atMessage] == messageClientHello
}

func epochOf(record []byte) uint16 { return binary.BigEndian.Uint16(record[atEpoch:]) }

// parseHello parses a datagram that is one record with one whole ClientHello, in clear (RFC 6347, sections 4.1, 4.2.2 and
// 4.2.1). What extensions say is left to the handshake.
func parseHello(p []byte) (h hello, ok bool) {
	var version, epoch uint16
	record, message := cryptobyte.String(p), cryptobyte.String(nil)
	if len(p) > maxHello || !looksLikeHello(p) || !record.Skip(1) || !record.ReadUint16(&version) || version>>8 != 0xfe ||
		!record.ReadUint16(&epoch) || !record.ReadUint48(&h.sequence) || !record.ReadUint16LengthPrefixed(&message) ||
		!record.Empty() {
		return h, false
	}
	var length, offset uint32
	var body cryptobyte.String
	if !message.Skip(1) || !message.ReadUint24(&length) || !message.ReadUint16(&h.messageSeq) ||
		!message.ReadUint24(&offset) || offset != 0 || !message.ReadUint24LengthPrefixed(&body) || len(body) != int(length) ||
		!message.Empty() {
		return h, false
	}
	return h, h.parseBody(body)
}

func (h *hello) parseBody(body cryptobyte.String) bool {
	whole := body
	var session, cookie, suites, compressions, extensions cryptobyte.String
	if !body.Skip(2+randomLen) || !body.ReadUint8LengthPrefixed(&session) || len(session) > 32 {
		return false
	}
	h.begin = whole[:len(whole)-len(body)]
	if !body.ReadUint8LengthPrefixed(&cookie) {
		return false
	}
	h.cookie = cookie
	rest := body
	if !body.ReadUint16LengthPrefixed(&suites) || len(suites) < 2 || len(suites)%2 != 0 ||
		!body.ReadUint8LengthPrefixed(&compressions) || compressions.Empty() {
		return false
	}
	h.end = rest[:len(rest)-len(body)]
	return body.Empty() || body.ReadUint16LengthPrefixed(&extensions) && body.Empty()
}

// verifyRequestLen is shorter than any hello, so that a forged one is never answered with more than it was.
const verifyRequestLen = recordHeader + messageHeader + 2 + 1 + cookieLen

// verifyRequest is a HelloVerifyRequest (RFC 6347, section 4.2.1). It has the sequence number of the hello, as that wants,
// and says DTLS 1.0 whatever will be negotiated.
func verifyRequest(out *[verifyRequestLen]byte, sequence uint64, cookie [cookieLen]byte) {
	const body = 2 + 1 + cookieLen
	b := append(out[:0], typeHandshake, 0xfe, 0xff)
	b = binary.BigEndian.AppendUint64(b, sequence) // its upper 16 bits are the epoch, 0
	b = append(b, 0, messageHeader+body)
	b = append(b, messageHelloVerifyRequest, 0, 0, body, 0, 0, 0, 0, 0, 0, 0, body)
	b = append(b, 0xfe, 0xff, cookieLen)
	_ = append(b, cookie[:]...)
}

// firstOf returns the first hello that a client would have sent before its second, which is p.
func firstOf(p []byte, h *hello) []byte {
	first := bytes.Clone(p)
	setSequence(first, h.sequence-1)
	binary.BigEndian.PutUint16(first[atMessageSeq:], 0)
	return first
}

// sequenceMask is that of the 48 bits of a sequence number.
const sequenceMask = 1<<48 - 1

func sequenceOf(record []byte) uint64 {
	return binary.BigEndian.Uint64(record[atEpoch:]) & sequenceMask
}

func setSequence(record []byte, sequence uint64) {
	epoch := uint64(epochOf(record))
	binary.BigEndian.PutUint64(record[atEpoch:], epoch<<48|sequence&sequenceMask)
}

// cutRecord cuts the first record off a datagram; nil if there is no whole one with content.
func cutRecord(p []byte) (record, rest []byte) {
	if len(p) <= recordHeader {
		return nil, nil
	}
	n := recordHeader + int(binary.BigEndian.Uint16(p[atLength:]))
	if n == recordHeader || n > len(p) {
		return nil, nil
	}
	return p[:n], p[n:]
}
