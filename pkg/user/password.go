package user

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxPassword is the length of the longest password, in bytes.
const MaxPassword = 1024

// Bounds of what a stored hash may ask of this machine. A hash beyond them was
// not made here, and computing it would be an attack on the server.
const (
	maxHashLen = 256        // bytes of a PHC string
	maxMemory  = 256 * 1024 // KiB
	maxTime    = 16
	maxThreads = 16
	minSaltLen = 8 // RFC 9106, section 3.1
	minKeyLen  = 16
	maxKeyLen  = 64 // and of the salt

	saltLen = 16 // of the hashes made here
	keyLen  = 32
)

// Params is the cost of an argon2id hash (RFC 9106, section 3.1).
type Params struct {
	Memory  uint32 // KiB; from 8 per thread to 262144
	Time    uint32 // passes; 1 to 16
	Threads uint8  // lanes; 1 to 16
}

// DefaultParams is OWASP's second recommendation for argon2id: 19 MiB, two
// passes, one lane; some 20 to 30 ms of one core.
var DefaultParams = Params{Memory: 19 * 1024, Time: 2, Threads: 1}

// MinimalParams is the least that argon2id allows: 8 KiB, one pass, some
// microseconds. It protects nothing. It is for load tests, where a thousand
// logins should measure the server and not the hash.
var MinimalParams = Params{Memory: 8, Time: 1, Threads: 1}

func (p Params) check() error {
	switch {
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("argon2id threads %d out of 1 to %d", p.Threads, maxThreads)
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("argon2id passes %d out of 1 to %d", p.Time, maxTime)
	case p.Memory < 8*uint32(p.Threads) || p.Memory > maxMemory:
		return fmt.Errorf("argon2id memory %d KiB out of 8 per thread to %d", p.Memory, maxMemory)
	}
	return nil
}

// Hash returns the argon2id hash of password, with a new random salt, as a PHC
// string: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>, base64 without padding.
// It fails if the password is empty or longer than MaxPassword, or p is out of bounds.
func Hash(password string, p Params) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	if err := checkPassword(password); err != nil {
		return "", err
	}
	d := newDigest(p)
	d.key = derive(password, d)
	return d.String(), nil
}

// Verify reports whether password is the one that hash was made of. The error
// says that hash is not a PHC string of argon2id within this package's bounds.
func Verify(hash, password string) (bool, error) {
	d, err := parseDigest(hash)
	if err != nil {
		return false, err
	}
	if checkPassword(password) != nil {
		return false, nil
	}
	return d.equal(derive(password, d)), nil
}

// CheckHash reports, as ErrInvalid, whether Verify would not accept hash.
func CheckHash(hash string) error {
	if _, err := parseDigest(hash); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func checkPassword(password string) error {
	if password == "" {
		return errors.New("the password is empty")
	}
	if len(password) > MaxPassword {
		return fmt.Errorf("the password is longer than %d bytes", MaxPassword)
	}
	return nil
}

// digest is a parsed PHC string. Its key has the length that is to be derived.
type digest struct {
	Params
	salt, key []byte
}

// newDigest returns a digest with a random salt and a random key, which is the
// key of no password.
func newDigest(p Params) digest {
	random := make([]byte, saltLen+keyLen)
	rand.Read(random) // never fails
	return digest{Params: p, salt: random[:saltLen], key: random[saltLen:]}
}

// derive computes the key that password has with the cost and salt of d.
func derive(password string, d digest) []byte {
	return argon2.IDKey([]byte(password), d.salt, d.Time, d.Memory, d.Threads, uint32(len(d.key)))
}

func (d digest) equal(key []byte) bool { return subtle.ConstantTimeCompare(d.key, key) == 1 }

func (d digest) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		d.Memory, d.Time, d.Threads, b64.EncodeToString(d.salt), b64.EncodeToString(d.key))
}

var errHash = errors.New("the hash is not a PHC string of argon2id")

// parseDigest is the inverse of String, and accepts nothing else: a hash has
// one spelling.
func parseDigest(s string) (digest, error) {
	if len(s) > maxHashLen {
		return digest{}, errHash
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return digest{}, errHash
	}
	p, err := parseParams(parts[3])
	if err != nil {
		return digest{}, err
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil {
		return digest{}, errHash
	}
	d := digest{p, salt, key}
	if len(salt) < minSaltLen || len(salt) > maxKeyLen || len(key) < minKeyLen || len(key) > maxKeyLen {
		return digest{}, errHash
	}
	// Leading zeros, line breaks inside base64, another version or algorithm.
	if d.String() != s {
		return digest{}, errHash
	}
	return d, nil
}

// parseParams reads "m=19456,t=2,p=1".
func parseParams(s string) (Params, error) {
	fields := strings.Split(s, ",")
	if len(fields) != 3 {
		return Params{}, errHash
	}
	var values [3]uint32
	for i, prefix := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(fields[i], prefix)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			return Params{}, errHash
		}
		values[i] = uint32(n)
	}
	if values[2] > maxThreads {
		return Params{}, errHash
	}
	p := Params{Memory: values[0], Time: values[1], Threads: uint8(values[2])}
	return p, p.check()
}
