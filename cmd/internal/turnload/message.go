package turnload

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/pion/stun/v3"
)

const (
	stunHead    = 20
	channelHead = 4
	maxFrame    = MaxSize + 100 // a Data indication around the payload

	// socketBuffer is asked for each way: what is measured is the server's loss, not ours.
	socketBuffer = 4 << 20

	// channel is the one that every client binds.
	channel = 0x4000
)

// Attributes and types of RFC 8656 section 18.
const attrRequestedAddressFamily stun.AttrType = 0x0017

var (
	typeSend = stun.NewType(stun.MethodSend, stun.ClassIndication)
	typeData = stun.NewType(stun.MethodData, stun.ClassIndication)
)

// pad rounds up to the four bytes that STUN aligns to.
func pad(n int) int { return (n + 3) &^ 3 }

func isChannelData(frame []byte) bool { return len(frame) > 0 && frame[0]&0xC0 == 0x40 }

func requestedTransport() stun.Setter {
	const udp = 17
	return stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{udp, 0, 0, 0}}
}

// requestedFamily is for relayed addresses that can reach at.
func requestedFamily(at netip.Addr) stun.Setter {
	family := byte(1)
	if at.Is6() {
		family = 2
	}
	return stun.RawAttribute{Type: attrRequestedAddressFamily, Value: []byte{family, 0, 0, 0}}
}

func lifetime(seconds uint32) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, seconds)}
}

func channelNumber(n uint16) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(n >> 8), byte(n), 0, 0}}
}

type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// relayedAddress reads where a client was given its relayed address.
func relayedAddress(response *stun.Message) (netip.AddrPort, error) {
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(response, stun.AttrXORRelayedAddress); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the relayed address: %w", err)
	}
	ip, ok := netip.AddrFromSlice(relayed.IP)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("read the relayed address: %v is none", relayed.IP)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port)), nil
}

// channelFrame returns ChannelData with room for a payload of size bytes, and where that begins.
func channelFrame(size int, padded bool) (frame []byte, offset int) {
	n := size
	if padded {
		n = pad(size)
	}
	frame = make([]byte, channelHead+n)
	binary.BigEndian.PutUint16(frame, channel)
	binary.BigEndian.PutUint16(frame[2:], uint16(size))
	return frame, channelHead
}

// sendFrame returns a Send indication with room for a payload of size bytes, and where that begins.
func sendFrame(size int, peer netip.AddrPort) (frame []byte, offset int, err error) {
	m, err := stun.Build(stun.TransactionID, typeSend, peerAddress(peer), stun.RawAttribute{Type: stun.AttrData, Value: make([]byte, size)})
	if err != nil {
		return nil, 0, err
	}
	return m.Raw, len(m.Raw) - pad(size), nil // DATA comes last
}

// payload returns what is in ChannelData or a Data indication; ok is false for other frames.
func payload(frame []byte) (data []byte, ok bool) {
	if isChannelData(frame) {
		if len(frame) < channelHead || binary.BigEndian.Uint16(frame) != channel {
			return nil, false
		}
		end := channelHead + int(binary.BigEndian.Uint16(frame[2:]))
		if end > len(frame) {
			return nil, false
		}
		return frame[channelHead:end], true
	}
	if len(frame) < stunHead || binary.BigEndian.Uint16(frame) != typeData.Value() {
		return nil, false
	}
	for rest := frame[stunHead:]; len(rest) >= 4; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if 4+n > len(rest) {
			break
		}
		if stun.AttrType(binary.BigEndian.Uint16(rest)) == stun.AttrData {
			return rest[4 : 4+n], true
		}
		rest = rest[min(4+pad(n), len(rest)):]
	}
	return nil, false
}
