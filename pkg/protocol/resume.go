package protocol

import (
	"encoding/json"
	"errors"
)

// Resume is the "resume" of a login: true asks for a session that outlives its
// socket, a string is the secret of such a session and takes it up again.
type Resume struct {
	Want   bool
	Secret string
}

// MarshalJSON writes the secret if there is one, else whether resuming is wanted.
func (r Resume) MarshalJSON() ([]byte, error) {
	if r.Secret != "" {
		return json.Marshal(r.Secret)
	}
	return json.Marshal(r.Want)
}

// UnmarshalJSON reads a boolean or a string.
func (r *Resume) UnmarshalJSON(b []byte) error {
	*r = Resume{}
	if json.Unmarshal(b, &r.Want) == nil {
		return nil
	}
	if json.Unmarshal(b, &r.Secret) == nil {
		r.Want = r.Secret != ""
		return nil
	}
	return errors.New("resume must be true or a secret")
}
