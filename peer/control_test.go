package peer

import (
	"testing"
)

func TestControlMessages(t *testing.T) {
	tests := []struct {
		text string
		want controlMessage
	}{
		{`{"type":"hello","received":0,"version":1}`, hello{0, 1}},
		{`{"type":"received","n":5}`, received{5}},
		{`{"type":"connected"}`, connected{}},
		{`{"type":"hangup","reason":"busy"}`, hangup{"busy"}},
		{`{"type":"hangup"}`, hangup{}},
	}
	for _, tt := range tests {
		if got, err := decodeControl([]byte(tt.text)); err != nil || got != tt.want {
			t.Errorf("decoded %s: %#v, %v, want %#v", tt.text, got, err, tt.want)
		}
		if got := string(encodeControl(tt.want)); got != tt.text {
			t.Errorf("encoded %s, want %s", got, tt.text)
		}
	}
}

func FuzzDecodeControl(f *testing.F) {
	f.Add([]byte(`{"type":"hello","received":1,"version":1}`))
	f.Add([]byte(`{"type":"received","n":18446744073709551615}`))
	f.Add([]byte(`{"type":"hangup","reason":"\u0000"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeControl(text)
		if m == nil || err != nil {
			return
		}
		again, err := decodeControl(encodeControl(m))
		if err != nil || again != m {
			t.Errorf("%q is %#v, again %#v, %v", text, m, again, err)
		}
	})
}
