package token

import (
	"strings"
	"testing"
)

// fuzzSeeds is what a fuzzer starts from: the attacks, and a good token with
// each of its parts cut, changed, repeated and swapped for another's.
func fuzzSeeds(t testing.TB) []string {
	var seeds []string
	for _, attack := range attacks(t) {
		seeds = append(seeds, attack.text)
	}
	good, other := goodToken(t, Room).String(), goodToken(t, Access).String()
	for i := 0; i < len(good); i += 7 {
		seeds = append(seeds, good[:i], good[i:], good[:i]+"."+good[i:], good[:i]+"A"+good[i:], good[:i]+good[i+1:])
	}
	parts, others := strings.Split(good, "."), strings.Split(other, ".")
	for i := range parts {
		for _, part := range []string{"", "e30", "bnVsbA", parts[(i+1)%3], others[i], parts[i] + parts[i]} {
			swapped := append([]string{}, parts...)
			swapped[i] = part
			seeds = append(seeds, strings.Join(swapped, "."))
		}
	}
	return seeds
}

// FuzzVerify: of all texts, only the ones that were issued are accepted, to the
// byte. The fuzzer can come by those: they differ little from its seeds.
func FuzzVerify(f *testing.F) {
	a := openFixed(f)
	good := map[string]Kind{}
	for _, kind := range []Kind{Access, Room} {
		good[goodToken(f, kind).String()] = kind
	}
	seeds := map[string]bool{}
	for _, seed := range fuzzSeeds(f) {
		if _, ok := good[seed]; !ok && !seeds[seed] {
			seeds[seed] = true
			f.Add(seed)
		}
	}
	if len(seeds) < 256 {
		f.Errorf("%d seeds, want at least 256", len(seeds))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []Kind{Access, Room} {
			c, err := a.Verify(t.Context(), text, kind)
			if accepted := err == nil; accepted != (good[text] == kind) {
				t.Errorf("verify %q as %s: got %+v, %v", text, kind, c, err)
			}
		}
		if _, issued := good[text]; !a.IssuedHere(text) && issued {
			t.Errorf("issued here of %q: got false", text)
		}
	})
}
