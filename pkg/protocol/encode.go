package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// EncodeClient writes a client's message; id may be empty.
func EncodeClient(id string, m FromClient) ([]byte, error) {
	body, err := marshal(m)
	if err != nil {
		return nil, err
	}
	frame := appendType(make([]byte, 0, len(body)+len(id)+32), m.fromClient())
	return appendBody(appendString(frame, "id", id), body), nil
}

// EncodeServer writes a server's message; ref may be empty.
func EncodeServer(ref string, m FromServer) ([]byte, error) {
	body, err := marshal(m)
	if err != nil {
		return nil, err
	}
	frame := appendType(make([]byte, 0, len(body)+len(ref)+64), m.fromServer())
	return appendBody(appendString(frame, "ref", ref), body), nil
}

// AppendSeq adds a session's message number to an encoded frame, in place where
// there is room. A message for many is encoded once and numbered for each.
func AppendSeq(frame []byte, seq uint64) []byte {
	frame = append(frame[:len(frame)-1], `,"seq":`...)
	return append(strconv.AppendUint(frame, seq, 10), '}')
}

// marshal is json.Marshal without its escapes for HTML, which would make a frame up
// to six times as long as it came.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func appendType(dst []byte, kind string) []byte {
	dst = append(dst, `{"type":"`...)
	return append(append(dst, kind...), '"')
}

func appendString(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	text, _ := marshal(value) // a string always marshals
	dst = append(append(append(dst, `,"`...), key...), `":`...)
	return append(dst, text...)
}

// appendBody adds the fields of an object that was encoded without its type.
func appendBody(dst, object []byte) []byte {
	if len(object) > len("{}") {
		dst = append(dst, ',')
	}
	return append(dst, object[1:]...)
}

// TypeOf returns the "type" of a client's message.
func TypeOf(m FromClient) string { return m.fromClient() }
