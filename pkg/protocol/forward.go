package protocol

// How each Forwarded message names its call and changes hands. Permissions and
// names are the server's to set, so what a client wrote there never passes.

func (m Offer) Party() (name, call string)       { return m.Name, m.Call }
func (m Answer) Party() (name, call string)      { return m.Name, m.Call }
func (m Candidate) Party() (name, call string)   { return m.Name, m.Call }
func (m Candidates) Party() (name, call string)  { return m.Name, m.Call }
func (m Ringing) Party() (name, call string)     { return m.Name, m.Call }
func (m Accept) Party() (name, call string)      { return m.Name, m.Call }
func (m Reject) Party() (name, call string)      { return m.Name, m.Call }
func (m Renegotiate) Party() (name, call string) { return m.Name, m.Call }
func (m Leave) Party() (name, call string)       { return m.Name, m.Call }

func (m Offer) From(name string, perms []string) Forwarded {
	m.Name, m.Permissions = name, perms
	return m
}

func (m Answer) From(name string, perms []string) Forwarded {
	m.Name, m.Permissions = name, perms
	return m
}

func (m Candidate) From(name string, _ []string) Forwarded   { m.Name = name; return m }
func (m Candidates) From(name string, _ []string) Forwarded  { m.Name = name; return m }
func (m Ringing) From(name string, _ []string) Forwarded     { m.Name = name; return m }
func (m Accept) From(name string, _ []string) Forwarded      { m.Name = name; return m }
func (m Reject) From(name string, _ []string) Forwarded      { m.Name = name; return m }
func (m Renegotiate) From(name string, _ []string) Forwarded { m.Name = name; return m }
func (m Leave) From(name string, _ []string) Forwarded       { m.Name = name; return m }
