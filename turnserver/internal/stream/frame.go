package stream

import "encoding/binary"

// The two kinds of messages begin like this (RFC 8489 section 5, RFC 8656 section 12.4); lengths are without the header:
//
//	00 type (14 bits)   | length (16), a multiple of 4 | magic cookie (32) | transaction id (96) | attributes
//	01 number (14 bits) | length (16) | data | on streams: 0 to 3 bytes of padding
const (
	stunHeader    = 20
	channelHeader = 4
	magicCookie   = 0x2112A442
	cookieEnd     = 8 // where the magic cookie ends

	maxFrame = stunHeader + 0xFFFC // bytes; the longest ChannelData has 13 less, padding included
)

// frameSize returns how long the message is that b begins with, or 0 as long as that cannot be told. The error says
// that it is none, as soon as that can be told.
func frameSize(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	switch {
	case b[0]>>6 == 0:
		return stunSize(b)
	case b[0]>>6 == 1: // RFC 5766 has channels beyond those of RFC 8656
		if len(b) < channelHeader {
			return 0, nil
		}
		return channelHeader + int(binary.BigEndian.Uint16(b[2:])), nil
	}
	return 0, refuse(BadMessage, "the first byte %#02x is neither of STUN nor of ChannelData", b[0])
}

func stunSize(b []byte) (int, error) {
	if len(b) < 4 {
		return 0, nil
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length%4 != 0 {
		return 0, refuse(BadMessage, "the length %d of a STUN message is not a multiple of 4", length)
	}
	if len(b) < cookieEnd {
		return 0, nil
	}
	if cookie := binary.BigEndian.Uint32(b[4:]); cookie != magicCookie {
		return 0, refuse(BadMessage, "a STUN message has the cookie %#08x, not the magic one", cookie)
	}
	return stunHeader + length, nil
}

// pad returns the length of a message of n bytes on a stream: a multiple of 4 (RFC 8656 section 12.5). STUN messages
// have such a length.
func pad(n int) int { return (n + 3) &^ 3 }
