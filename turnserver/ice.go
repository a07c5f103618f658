package turnserver

import (
	"net"
	"strconv"
)

// URLs returns what clients need to know of a relay at host, a name or an address, and port: a stun: and a turn: URL
// (RFC 7064, RFC 7065) for the list of ICE servers.
func URLs(host string, port uint16) []string {
	address := net.JoinHostPort(host, strconv.Itoa(int(port)))
	return []string{"stun:" + address, "turn:" + address + "?transport=udp"}
}
