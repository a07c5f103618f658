package protocol

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// golden returns the frames in testdata/frames/side by file name.
func golden(t testing.TB, side string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "testdata", "frames", side, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden frames for the %s: %v", side, err)
	}
	frames := map[string][]byte{}
	for _, path := range paths {
		frame, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		frames[strings.TrimSuffix(filepath.Base(path), ".json")] = frame
	}
	return frames
}

// wantSameJSON compares values, since the order of fields carries no meaning.
func wantSameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("encoded frame %s: %v", got, err)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatalf("golden frame %s: %v", want, err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("frame after decoding and encoding (-golden +ours):\n%s", diff)
	}
}

func encodeEvent(t testing.TB, ev Event) []byte {
	frame, err := EncodeServer(ev.Ref, ev.Message)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Seq > 0 {
		frame = AppendSeq(frame, ev.Seq)
	}
	return frame
}

func TestGoldenClientFrames(t *testing.T) {
	for name, frame := range golden(t, "client") {
		t.Run(name, func(t *testing.T) {
			req, err := DecodeClient(frame)
			if err != nil {
				t.Fatal(err)
			}
			got, err := EncodeClient(req.ID, req.Message)
			if err != nil {
				t.Fatal(err)
			}
			wantSameJSON(t, got, frame)
		})
	}
}

func TestGoldenServerFrames(t *testing.T) {
	for name, frame := range golden(t, "server") {
		t.Run(name, func(t *testing.T) {
			ev, err := DecodeServer(frame)
			if err != nil {
				t.Fatal(err)
			}
			wantSameJSON(t, encodeEvent(t, ev), frame)
		})
	}
}

func TestEveryKindHasAGoldenFrame(t *testing.T) {
	seen := map[string]bool{}
	for _, frame := range golden(t, "client") {
		req, _ := DecodeClient(frame)
		seen["client "+req.Message.fromClient()] = true
	}
	for _, frame := range golden(t, "server") {
		ev, _ := DecodeServer(frame)
		seen["server "+ev.Message.fromServer()] = true
	}
	for _, kind := range strings.Fields("login offer answer candidate candidates ringing accept reject renegotiate leave peers ice refresh") {
		if !seen["client "+kind] {
			t.Errorf("no golden client frame of type %s", kind)
		}
	}
	for _, kind := range strings.Fields("hello login offer answer candidate candidates leave joined left peers ice expiring goaway error") {
		if !seen["server "+kind] {
			t.Errorf("no golden server frame of type %s", kind)
		}
	}
}

func TestDecodeClientFaults(t *testing.T) {
	const call = "AAECAwQFBgcICQoLDA0ODw"
	long := strings.Repeat("x", MaxNameLen+1)
	for _, tt := range []struct{ name, frame, code, text string }{
		{"not JSON", `hello`, "bad_message", "message is not JSON"},
		{"empty", ``, "bad_message", "message is not JSON"},
		{"array", `[]`, "bad_message", "must be a JSON object, not array"},
		{"id of wrong type", `{"type":"peers","id":7}`, "bad_message", "id must not be a number"},
		{"huge number", `{"type":"login","name":"a","last":1` + strings.Repeat("1", 1000) + `}`, "bad_message", "last is out of range ("},
		{"no type", `{"name":"a"}`, "bad_message", "type is missing"},
		{"null", `null`, "bad_message", "type is missing"},
		{"type of wrong type", `{"type":7}`, "bad_message", "type must not be a number"},
		{"unknown type", `{"type":"dance"}`, "unknown_type", "Command not found: dance"},
		{"long unknown type", `{"type":"` + long + `"}`, "unknown_type", "Command not found: " + long[:32] + "…"},
		{"too large", `{"type":"` + strings.Repeat("x", MaxFrame) + `"}`, "too_large", "larger than 65536 bytes"},
		{"deep", `{"type":"peers","x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, "bad_message", "nested deeper than 16"},
		{"long id", `{"type":"peers","id":"` + long + `"}`, "bad_message", "id is longer than 64 bytes"},
		{"name of wrong type", `{"type":"offer","name":5}`, "bad_message", "name must not be a number"},
		{"no name", `{"type":"ringing","call":"` + call + `"}`, "bad_message", "name must be 1 to 64"},
		{"long name", `{"type":"login","name":"` + long + `"}`, "bad_message", "name must be 1 to 64"},
		{"control character", `{"type":"login","name":"a\u0007b"}`, "bad_message", "name must be 1 to 64"},
		{"space in room", `{"type":"login","name":"a","room":"a b"}`, "bad_message", "room must be 1 to 64"},
		{"long password", `{"type":"login","name":"a","password":"` + strings.Repeat("x", MaxPasswordLen+1) + `"}`, "bad_message", "password is longer"},
		{"resume of wrong type", `{"type":"login","name":"a","resume":7}`, "bad_message", "resume must be true or a secret"},
		{"offer without sdp", `{"type":"offer","name":"a","offer":{"type":"offer"}}`, "bad_message", "offer.sdp is missing"},
		{"offer of an answer", `{"type":"offer","name":"a","offer":{"type":"answer","sdp":"v=0"}}`, "bad_message", `offer.type must be "offer"`},
		{"bad call", `{"type":"accept","name":"a","call":"short"}`, "bad_message", "call must be 22"},
		{"accept without call", `{"type":"accept","name":"a"}`, "bad_message", "call must be 22"},
		{"bad reason", `{"type":"reject","name":"a","call":"` + call + `","reason":"no"}`, "bad_message", "reason must be busy"},
		{"long reason", `{"type":"leave","reason":"` + long + `"}`, "bad_message", "reason is longer"},
		{"33 candidates", `{"type":"candidates","name":"a","candidates":[null` + strings.Repeat(",null", 32) + `]}`, "bad_message", "more than 32"},
		{"long candidate", `{"type":"candidate","name":"a","candidate":{"candidate":"` + strings.Repeat("x", MaxCandidateLen+1) + `"}}`, "bad_message", "candidate.candidate is longer"},
		{"candidate of two lines", `{"type":"candidate","name":"a","candidate":{"candidate":"candidate:1\r\na=sendrecv"}}`, "bad_message", "candidate.candidate holds control characters"},
		{"control character in one of several candidates", `{"type":"candidates","name":"a","candidates":[null,{"candidate":"candidate:1\u0085"}]}`, "bad_message", "candidate.candidate holds control characters"},
		{"refresh without token", `{"type":"refresh"}`, "bad_message", "token is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeClient([]byte(tt.frame))
			var fault Error
			if !errors.As(err, &fault) {
				t.Fatalf("DecodeClient = %v, want an Error", err)
			}
			if string(fault.Code) != tt.code || !strings.Contains(fault.Error(), tt.text) {
				t.Errorf("DecodeClient = %s %q, want %s %q", fault.Code, fault.Message, tt.code, tt.text)
			}
		})
	}
}

func TestDecodeNotUTF8(t *testing.T) {
	if _, err := DecodeClient([]byte("{\"type\":\"peers\",\"id\":\"\xff\"}")); err != ErrNotUTF8 {
		t.Errorf("DecodeClient = %v, want %v", err, ErrNotUTF8)
	}
}

func TestFaultKeepsID(t *testing.T) {
	req, err := DecodeClient([]byte(`{"type":"accept","id":"42","name":"a"}`))
	if err == nil || req.ID != "42" {
		t.Errorf("DecodeClient = id %q, %v; want id 42 and an error", req.ID, err)
	}
}

func TestDepthLooksPastStrings(t *testing.T) {
	frame := []byte(`{"type":"peers","id":"[[[[[[[[[[[[[[[[[[[[\"[[[\\"}`)
	if _, err := DecodeClient(frame); err != nil {
		t.Errorf("brackets in a string counted as nesting: %v", err)
	}
}

// What the scan is sure of must be what encoding/json reads.
func FuzzScan(f *testing.F) {
	for _, frame := range golden(f, "client") {
		f.Add(frame)
	}
	for _, s := range []string{
		`{"type":"a","type":"b"}`, `{"t\u0079pe":"a"}`, `{"x":{"type":"a"},"type":"b"}`, `{"id":"type","type":"id"}`,
		`{"type":"a","from":"b","from":"c"}`, `{"from":"type","type":"a"}`,
		`{"type" : "a" , "id":7}`, `{"type":["a"],"id":"b"}`, `{"type":"a","id":{"id":"b"}}`, `["type","a"]`, `{"type":"a"`, `{"Type":"a","type":"b"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		look := scan(frame)
		var fields map[string]json.RawMessage
		if !look.plain || look.tooDeep || json.Unmarshal(frame, &fields) != nil {
			return
		}
		var kind, id, from string
		if err := json.Unmarshal(fields["type"], &kind); err != nil || kind != look.kind && utf8.Valid(frame) {
			t.Errorf("scan(%q) is sure of type %q, which is %s", frame, look.kind, fields["type"])
		}
		if raw, ok := fields["id"]; ok {
			if err := json.Unmarshal(raw, &id); err != nil || id != look.id && utf8.Valid(frame) {
				t.Errorf("scan(%q) is sure of id %q, which is %s", frame, look.id, raw)
			}
		}
		if raw, ok := fields["from"]; ok {
			if err := json.Unmarshal(raw, &from); err != nil || from != look.from && utf8.Valid(frame) {
				t.Errorf("scan(%q) is sure of from %q, which is %s", frame, look.from, raw)
			}
		}
	})
}

func TestFromIsRead(t *testing.T) {
	for _, frame := range []string{
		`{"type":"leave","name":"bob","from":"carol"}`,
		`{"type":"leave","name":"bob","fr\u006fm":"carol"}`,
		`{"from":"alice","type":"leave","name":"bob","from":"carol"}`,
	} {
		if req, err := DecodeClient([]byte(frame)); err != nil || req.From != "carol" {
			t.Errorf("DecodeClient(%s) is from %q, %v, want carol", frame, req.From, err)
		}
	}
	if _, err := DecodeClient([]byte(`{"type":"leave","name":"bob","from":7}`)); err == nil {
		t.Error("a sender that is a number was read")
	}
}

func TestFromSetsSenderAndPermissions(t *testing.T) {
	req, err := DecodeClient([]byte(`{"type":"offer","name":"bob","permissions":["admin"],"offer":{"type":"offer","sdp":"v=0"}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := req.Message.(Forwarded).From("alice", []string{PermJoin}).(Offer)
	if got.Name != "alice" || !cmp.Equal(got.Permissions, []string{PermJoin}) {
		t.Errorf("forwarded offer is from %q with %v", got.Name, got.Permissions)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"user1": true, "a.b_c@d+e-f": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a:b": false, "é": false, "a\x00": false, "a/b": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestNewCallID(t *testing.T) {
	a, b := NewCallID(), NewCallID()
	if !ValidCallID(a) || !ValidCallID(b) || a == b {
		t.Errorf("NewCallID gave %q and %q", a, b)
	}
}

func TestReconnect(t *testing.T) {
	for code, want := range map[CloseCode]bool{
		1000: false, 1001: true, 1003: false, 1006: true, 1007: false, 1009: false, 1011: true, 1012: true, 1013: true,
		CloseDraining: true, CloseSlowConsumer: true, 4499: true, CloseNotAuthenticated: false, CloseReplaced: false,
	} {
		if got := code.Reconnect(); got != want {
			t.Errorf("%d.Reconnect() = %v, want %v", code, got, want)
		}
	}
}

// What decodes must encode and decode to the same value again, so that nothing
// that a client wrote reaches another client unread.
func FuzzDecodeClient(f *testing.F) {
	for _, frame := range golden(f, "client") {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		req, err := DecodeClient(frame)
		if err != nil {
			return
		}
		again, err := EncodeClient(req.ID, req.Message)
		if err != nil {
			t.Fatal(err)
		}
		req2, err := DecodeClient(again)
		if err != nil && len(again) <= MaxFrame { // escapes may lengthen it
			t.Fatalf("%s: %v", again, err)
		}
		if err == nil && !cmp.Equal(req, req2) {
			t.Fatalf("second decoding differs:\n%s", cmp.Diff(req, req2))
		}
	})
}

func FuzzDecodeServer(f *testing.F) {
	for _, frame := range golden(f, "server") {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		ev, err := DecodeServer(frame)
		if err != nil {
			return
		}
		again := encodeEvent(t, ev)
		ev2, err := DecodeServer(again)
		if err != nil && len(again) <= MaxFrame {
			t.Fatalf("%s: %v", again, err)
		}
		if err == nil && string(encodeEvent(t, ev2)) != string(again) {
			t.Fatalf("%s became %s", again, encodeEvent(t, ev2))
		}
	})
}

func BenchmarkForward(b *testing.B) {
	frame := golden(b, "client")["candidate"]
	b.ReportAllocs()
	for b.Loop() {
		req, err := DecodeClient(frame)
		if err != nil {
			b.Fatal(err)
		}
		out, err := EncodeServer("", req.Message.(Forwarded).From("user1", nil))
		if err != nil {
			b.Fatal(err)
		}
		AppendSeq(out, 7)
	}
}
