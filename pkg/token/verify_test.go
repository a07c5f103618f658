package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestVerify(t *testing.T) {
	a := openFixed(t)
	for _, kind := range []Kind{Access, Room} {
		text, issued := issue(t, a, alice(kind), MaxLifetime)
		got := wantVerify(t, a, text, kind, nil)
		if diff := cmp.Diff(issued, got); diff != "" {
			t.Errorf("%s: what was verified differs from what was issued (-issued +verified):\n%s", kind, diff)
		}
		wantVerify(t, a, goodToken(t, kind).String(), kind, nil)
	}
}

// attack is a token that has to be refused as a room token at testNow.
type attack struct {
	name string
	text string
	want error
}

// attacks returns many, of which none is there twice.
func attacks(t testing.TB) []attack {
	var all []attack
	add := func(want error, name string, text fmt.Stringer) { all = append(all, attack{name, text.String(), want}) }
	good := goodToken(t, Room)
	kid := testKey(1).ID

	// Who signs, and how.
	add(ErrSignature, "signed by another key", good.signedBy(signer(testKey(2))))
	add(ErrSignature, "no signature", good.signedBy(func(string) []byte { return nil }))
	add(ErrSignature, "zeroes for a signature", good.signedBy(func(string) []byte { return make([]byte, 64) }))
	add(ErrSignature, "half a signature", good.signedBy(func(s string) []byte { return signer(testKey(1))(s)[:32] }))
	add(ErrSignature, "a longer signature", good.signedBy(func(s string) []byte { return append(signer(testKey(1))(s), 0) }))
	add(ErrUnknownKey, "unknown kid", good.inHeader(kid, testKey(2).ID).signedBy(signer(testKey(2))))
	for _, path := range []string{"../../../../dev/null", "/etc/passwd", "file:///dev/null", "https://example.com/k", "a' OR '1'='1", "*", kid + "/", `\u0000`} {
		add(ErrUnknownKey, "kid "+path, good.inHeader(kid, path))
	}
	for _, alg := range []string{"none", "None", "", "eddsa", "EdDSA ", "Ed25519", "HS256", "RS256", "ES256", "ES256K"} {
		add(ErrAlgorithm, "alg "+alg, good.inHeader("EdDSA", alg))
		add(ErrAlgorithm, "alg "+alg+" without a signature", good.inHeader("EdDSA", alg).signedBy(func(string) []byte { return nil }))
	}
	for form, secret := range publicKeyForms(t) {
		sign := func(signed string) []byte {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			return mac.Sum(nil)
		}
		add(ErrAlgorithm, "HS256 with the public key, "+form, good.inHeader("EdDSA", "HS256").signedBy(sign))
		add(ErrSignature, "EdDSA in name, HS256 with the public key, "+form, good.signedBy(sign))
	}

	// A key that the token brings along.
	set, err := KeySet{testKey(2)}.public()
	if err != nil {
		t.Fatal(err)
	}
	jwk := strings.TrimSuffix(strings.TrimPrefix(string(set), `{"keys":[`), `]}`)
	for _, member := range []string{`"jwk":` + jwk, `"jku":"https://example.com/jwks.json"`, `"x5u":"https://example.com/c.pem"`, `"x5c":["AAAA"]`} {
		forged := good.inHeader("{", "{"+member+",").signedBy(signer(testKey(2)))
		add(ErrSignature, member, forged)
		add(ErrUnknownKey, member+" and its kid", forged.inHeader(`"kid":"`+kid, `"kid":"`+testKey(2).ID))
	}

	// The header, well signed.
	add(ErrKind, "an access token", goodToken(t, Access))
	for _, typ := range []string{"JWT", "", "Room+JWT", "application/room+jwt", "room+jwt ", "at+jwt"} {
		add(ErrKind, "typ "+typ, good.inHeader(string(Room), typ))
	}
	add(ErrKind, "no typ", good.inHeader(`,"typ":"room+jwt"`, ""))
	add(ErrMalformed, "no kid", good.inHeader(`"kid":"`+kid+`",`, ""))
	add(ErrAlgorithm, "no alg", good.inHeader(`"alg":"EdDSA",`, ""))
	add(ErrMalformed, "alg is a list", good.inHeader(`"EdDSA"`, `["EdDSA"]`))
	add(ErrAlgorithm, "ALG", good.inHeader(`"alg"`, `"ALG"`))
	add(ErrMalformed, "kid is null", good.inHeader(`"`+kid+`"`, "null"))
	add(ErrMalformed, "crit", good.inHeader("{", `{"crit":["exp"],`))
	add(ErrMalformed, "alg twice", good.inHeader("{", `{"alg":"none",`))
	add(ErrMalformed, "alg twice, once with an escape", good.inHeader("{", `{"\u0061lg":"none",`))
	add(ErrMalformed, "kid twice", good.inHeader("{", `{"kid":"x",`))
	add(ErrMalformed, "typ twice", good.inHeader("}", `,"typ":"at+jwt"}`))
	add(ErrMalformed, "a header that is a list", forgery{"[]", good.payload, good.sign})
	add(ErrMalformed, "no header", forgery{"", good.payload, good.sign})
	add(ErrMalformed, "two headers", forgery{good.header + good.header, good.payload, good.sign})

	return append(append(all, payloadAttacks(t)...), textAttacks(t)...)
}

// payloadAttacks are well signed: what they say is wrong.
func payloadAttacks(t testing.TB) []attack {
	var all []attack
	add := func(want error, name string, text fmt.Stringer) { all = append(all, attack{name, text.String(), want}) }
	good := goodToken(t, Room)
	claim := func(name string, from, to time.Duration) (string, string) {
		at := func(d time.Duration) string {
			return fmt.Sprintf(`"%s":%d`, name, testNow.Truncate(time.Second).Add(d).Unix())
		}
		return at(from), at(to)
	}
	shift := func(f forgery, d time.Duration) forgery {
		return f.inPayload(claim("exp", 5*time.Minute, 5*time.Minute+d)).inPayload(claim("iat", 0, d)).inPayload(claim("nbf", 0, d))
	}

	add(ErrExpired, "expired", shift(good, -5*time.Minute-Leeway))
	add(ErrExpired, "expired an hour ago", shift(good, -time.Hour))
	add(ErrNotYetValid, "not yet valid", shift(good, Leeway+time.Second))
	add(ErrNotYetValid, "nbf to come", good.inPayload(claim("nbf", 0, time.Minute)))
	add(ErrNotYetValid, "iat to come", good.inPayload(claim("iat", 0, time.Minute)))
	add(ErrMalformed, "good for too long", good.inPayload(claim("exp", 5*time.Minute, MaxLifetime+time.Second)))
	add(ErrMalformed, "good for too long, and old", good.inPayload(claim("iat", 0, -time.Hour)))
	add(ErrMalformed, "exp before iat", good.inPayload(claim("exp", 5*time.Minute, -time.Second)))
	add(ErrMalformed, "good for 200 years", good.inPayload(claim("exp", 5*time.Minute, 200*365*24*time.Hour)))
	for _, number := range []string{"1e300", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-1e300", "1e999"} {
		exp, _ := claim("exp", 5*time.Minute, 0)
		iat, _ := claim("iat", 0, 0)
		add(ErrInvalid, "exp "+number, good.inPayload(exp, `"exp":`+number))
		add(ErrInvalid, "iat "+number, good.inPayload(iat, `"iat":`+number))
		add(ErrInvalid, "both "+number, good.inPayload(exp, `"exp":`+number).inPayload(iat, `"iat":`+number))
	}

	for _, iss := range []string{"other", "", "sigctl/", "Sigctl", "https://sigctl"} {
		want := ErrIssuer
		if iss == "" {
			want = ErrMalformed
		}
		add(want, "issuer "+iss, good.inPayload(`"iss":"sigctl"`, `"iss":"`+iss+`"`))
	}
	for _, aud := range []string{
		`["sigctl/api"]`, `["sigctl"]`, `["sigctl/ws","sigctl/api"]`, `["sigctl/ws","sigctl/ws"]`, `["other/ws"]`,
		`["sigctl/ws/"]`, `["SIGCTL/ws"]`, `"sigctl/api"`, `[]`, `""`, `null`,
	} {
		add(ErrKind, "aud "+aud, good.inPayload(`["sigctl/ws"]`, aud))
	}
	add(ErrMalformed, "aud is an object", good.inPayload(`["sigctl/ws"]`, `{"sigctl/ws":1}`))
	add(ErrMalformed, "aud is lists", good.inPayload(`["sigctl/ws"]`, `[["sigctl/ws"]]`))

	for _, name := range []string{"iss", "sub", "exp", "nbf", "iat", "jti", "sid", "room", "perms"} {
		add(ErrMalformed, "no "+name, good.inPayload(`"`+name+`":`, `"x`+name+`":`))
		add(ErrMalformed, name+" in capitals", good.inPayload(`"`+name+`":`, `"`+strings.ToUpper(name)+`":`))
		add(ErrMalformed, name+" is an object", good.inPayload(`"`+name+`":`, `"`+name+`":{},"x":`))
		add(ErrMalformed, name+" is null", good.inPayload(`"`+name+`":`, `"`+name+`":null,"x":`))
		add(ErrMalformed, name+" twice, null first", good.inPayload("{", `{"`+name+`":null,`))
		add(ErrMalformed, name+" twice, null last", good.inPayload("]}", `],"`+name+`":null}`))
	}
	add(ErrKind, "no aud", good.inPayload(`"aud"`, `"xaud"`))
	add(ErrMalformed, "sub twice", good.inPayload("{", `{"sub":"mallory",`))
	add(ErrMalformed, "an unknown claim twice", good.inPayload("{", `{"x":1,"x":1,`))

	for _, name := range []string{"", "a b", "a/b", "al\u0456ce", "alice\\u0000", strings.Repeat("x", protocol.MaxNameLen+1)} {
		add(ErrMalformed, "sub "+name, good.inPayload(`"alice"`, `"`+name+`"`))
		add(ErrMalformed, "room "+name, good.inPayload(`"lobby"`, `"`+name+`"`))
	}
	for _, sid := range []string{"", "a b", "a\\n", "\u0456", "\u007f", strings.Repeat("x", MaxSession+1)} {
		add(ErrMalformed, "sid "+sid, good.inPayload(`"sign-in"`, `"`+sid+`"`))
	}
	for _, perms := range []string{`[]`, `["admin"]`, `["join","admin"]`, `["join","join"]`, `["JOIN"]`, `[""]`, `"join"`, `[1]`, `[["join"]]`} {
		add(ErrMalformed, "perms "+perms, good.inPayload(`["join","data"]`, perms))
	}
	for _, jti := range []string{"x", "HE2J4dNvgwAAAAAAAAAAA", "HE2J4dNvgwAAAAAAAAAAAR", "HE2J4dNvgwAAAAAAAAAAAQ==", "HE2J4dNvgwAAAAAAAAAAAQAA"} {
		add(ErrMalformed, "jti "+jti, good.inPayload("HE2J4dNvgwAAAAAAAAAAAQ", jti))
	}
	for _, payload := range []string{"", "null", "[]", `"x"`, "1", "{", "{}", good.payload + good.payload, good.payload + "x", strings.Repeat("[", 5000)} {
		add(ErrInvalid, fmt.Sprintf("payload %.20s", payload), forgery{good.header, payload, good.sign})
	}
	return all
}

// textAttacks change the token without its key.
func textAttacks(t testing.TB) []attack {
	good := goodToken(t, Room)
	text := good.String()
	part := strings.Split(text, ".")
	another := strings.Split(good.inPayload("alice", "bob").String(), ".")
	joined := func(parts ...string) string { return strings.Join(parts, ".") }
	last := text[:len(text)-1] + string(text[len(text)-1]+1) // the same bytes, where nobody looks at the last bits

	return []attack{
		{"tampered header", joined(base64url(good.inHeader("}", `,"x":1}`).header), part[1], part[2]), ErrSignature},
		{"tampered payload", joined(part[0], base64url(good.inPayload("alice", "admin").payload), part[2]), ErrSignature},
		{"tampered signature", joined(part[0], part[1], "A"+part[2][1:]), ErrSignature},
		{"another's payload", joined(part[0], another[1], part[2]), ErrSignature},
		{"another's signature", joined(part[0], part[1], another[2]), ErrSignature},
		{"another form of the signature", last, ErrMalformed},
		{"padding", text + "==", ErrMalformed},
		{"padding in the header", joined(part[0]+"=", part[1], part[2]), ErrMalformed},
		{"a line break", text + "\n", ErrMalformed},
		{"a line break in the payload", joined(part[0], part[1][:8]+"\r\n"+part[1][8:], part[2]), ErrMalformed},
		{"space before", " " + text, ErrMalformed},
		{"Bearer before", "Bearer " + text, ErrMalformed},
		{"no payload", joined(part[0], "", part[2]), ErrMalformed},
		{"two parts", joined(part[0], part[1]), ErrMalformed},
		{"four parts", joined(text, part[2]), ErrMalformed},
		{"five parts", joined(text, part[1], part[2]), ErrMalformed},
		{"nothing", "", ErrMalformed},
		{"dots", "..", ErrMalformed},
		{"a thousand dots", strings.Repeat(".", 1000), ErrMalformed},
		{"oversized", good.inPayload("{", `{"x":"`+strings.Repeat("x", protocol.MaxTokenLen)+`",`).String(), ErrMalformed},
		{"oversized by one", text + strings.Repeat("A", protocol.MaxTokenLen+1-len(text)), ErrMalformed},
		{"not UTF-8", "\xff" + text[1:], ErrMalformed},
		{"JSON serialization", `{"payload":"` + part[1] + `","signatures":[{"protected":"` + part[0] + `","signature":"` + part[2] + `"}]}`, ErrMalformed},
	}
}

// publicKeyForms is the public key in all forms that somebody could take for a
// secret.
func publicKeyForms(t testing.TB) map[string][]byte {
	public := testKey(1).public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	set, err := KeySet{testKey(1)}.public()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"raw":    public,
		"base64": []byte(base64url(string(public))),
		"DER":    der,
		"PEM":    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"JWK":    set,
	}
}

func TestAttacks(t *testing.T) {
	a := openFixed(t)
	seen := map[string]string{}
	for _, attack := range attacks(t) {
		t.Run(attack.name, func(t *testing.T) {
			wantVerify(t, a, attack.text, Room, attack.want)
			if twin, ok := seen[attack.text]; ok {
				t.Errorf("the same as %q", twin)
			}
			seen[attack.text] = attack.name
		})
	}
}

// TestKinds: a token is good for one of both.
func TestKinds(t *testing.T) {
	a := openFixed(t)
	wantVerify(t, a, goodToken(t, Room).String(), Access, ErrKind)
	wantVerify(t, a, goodToken(t, Access).String(), Room, ErrKind)
	// With the one's typ and the other's aud it is good for neither.
	mixed := goodToken(t, Room).inHeader(string(Room), string(Access)).String()
	wantVerify(t, a, mixed, Access, ErrKind)
	wantVerify(t, a, mixed, Room, ErrKind)
	for _, extra := range []string{`,"room":"lobby"}`, `,"perms":["join"]}`} {
		wantVerify(t, a, goodToken(t, Access).inPayload("}", extra).String(), Access, ErrMalformed)
	}
}

// TestLeeway: to the second, on both sides.
func TestLeeway(t *testing.T) {
	clock := &clock{now: testNow}
	a := open(t, &memoryKeys{keys: KeySet{testKey(1)}}, everything{}, &Options{now: clock.Now})
	text, c := issue(t, a, alice(Room), time.Minute)
	for _, tt := range []struct {
		at   time.Time
		want error
	}{
		{c.Issued.Add(-Leeway - 1), ErrNotYetValid},
		{c.Issued.Add(-Leeway), nil},
		{c.Expires.Add(Leeway - 1), nil},
		{c.Expires.Add(Leeway), ErrExpired},
	} {
		clock.set(tt.at)
		wantVerify(t, a, text, Room, tt.want)
		if err := a.Spend(t.Context(), c); tt.want == ErrExpired && !errors.Is(err, ErrExpired) {
			t.Errorf("spend after the end: got %v, want %v", err, ErrExpired)
		}
	}
}

// TestOtherIssuer: the keys of one issuer can be known to another.
func TestOtherIssuer(t *testing.T) {
	keys := &memoryKeys{keys: KeySet{testKey(1)}}
	ours, theirs := open(t, keys, everything{}, nil), open(t, keys, everything{}, &Options{Issuer: "theirs"})
	text, _ := issue(t, theirs, alice(Room), time.Minute)
	wantVerify(t, theirs, text, Room, nil)
	wantVerify(t, ours, text, Room, ErrIssuer)
	if !theirs.IssuedHere(text) || ours.IssuedHere(text) {
		t.Errorf("issued here: got %v for theirs and %v for ours, want true and false", theirs.IssuedHere(text), ours.IssuedHere(text))
	}
	for _, text := range []string{"", ".", "..", "x.x.x", "." + base64url(`{}`) + ".", "." + base64url(`{"iss":1}`), strings.Repeat("x", protocol.MaxTokenLen+1)} {
		if ours.IssuedHere(text) {
			t.Errorf("issued here of %.20q: got true", text)
		}
	}
}

// TestFaultsAreReadable: what the person who writes a client is told.
func TestFaultsAreReadable(t *testing.T) {
	a := openFixed(t)
	good := goodToken(t, Room)
	exp, iat := `"exp":`+fmt.Sprint(testNow.Unix()+300), `"iat":`+fmt.Sprint(testNow.Unix())
	for _, tt := range []struct{ text, want string }{
		{"x", "invalid token: malformed: a token has three parts with dots between them"},
		{"x.x.x", "invalid token: malformed: header: not base64url"},
		{good.inHeader("EdDSA", "none").String(), `invalid token: alg must be EdDSA, and is "none"`},
		{goodToken(t, Access).String(), `invalid token: it is for another purpose: typ is "at+jwt", and has to be "room+jwt" here`},
		{good.inPayload(`"sub":"alice",`, "").String(), "invalid token: malformed: sub is missing"},
		{good.inPayload(exp, `"exp":`+fmt.Sprint(testNow.Unix()-100)).inPayload(iat, `"iat":`+fmt.Sprint(testNow.Unix()-200)).String(),
			"invalid token: expired: it is good from 2031-02-03T04:05:06Z to 2031-02-03T04:03:26Z, and here it is 2031-02-03T04:05:06Z"},
	} {
		if _, err := a.Verify(t.Context(), tt.text, Room); err == nil || err.Error() != tt.want {
			t.Errorf("verify %.30s…\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	a := open(b, &memoryKeys{keys: KeySet{testKey(1)}}, everything{}, nil)
	text, _ := issue(b, a, alice(Room), MaxLifetime)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Verify(b.Context(), text, Room); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	a := open(b, &memoryKeys{keys: KeySet{testKey(1)}}, everything{}, nil)
	c := alice(Room)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := a.Issue(c, MaxLifetime); err != nil {
			b.Fatal(err)
		}
	}
}
