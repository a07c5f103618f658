package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxSections is how many media sections a description may have.
const maxSections = 64

// Requires returns which of [PermData], [PermPublish] and [PermSubscribe] the
// sender of d needs, in this order. An error means that the SDP could be read in
// more than one way, and is to be refused.
//
// A section of type application needs PermData, one of any other type what its
// direction says, sendrecv where it says nothing (RFC 8866, section 6.7). One that
// is rejected (port 0, not bundle-only) needs nothing, unless it has a direction
// or streams all the same. Browsers, pion and others differ in the line ends,
// letter cases, spaces, repetitions and numbers that they put up with, so nothing
// but the plainest form is accepted.
func (d Description) Requires() ([]string, error) {
	n, err := readNeeds(d.SDP)
	if err != nil || n == 0 {
		return nil, err
	}
	perms := make([]string, 0, len(needPerms))
	for i, perm := range needPerms {
		if n&(1<<i) != 0 {
			perms = append(perms, perm)
		}
	}
	return perms, nil
}

// Exceeds returns the first permission that d needs and perms lacks, "" if none.
// The error is that of [Description.Requires].
func (d Description) Exceeds(perms []string) (lacks string, err error) {
	n, err := readNeeds(d.SDP)
	if err != nil {
		return "", err
	}
	for i, perm := range needPerms {
		if n&(1<<i) != 0 && !slices.Contains(perms, perm) {
			return perm, nil
		}
	}
	return "", nil
}

// Candidates returns how many candidates d carries. [Description.Requires] and [Description.Exceeds]
// refuse a description that spells any of them in another way.
func (d Description) Candidates() int { return strings.Count(d.SDP, "a=candidate:") }

// needs is a set of permissions.
type needs uint8

const (
	needData needs = 1 << iota
	needPublish
	needSubscribe
)

// needPerms are the names, by the number of their bit.
var needPerms = [...]string{PermData, PermPublish, PermSubscribe}

// readNeeds returns what all sections of an SDP need.
func readNeeds(sdp string) (needs, error) {
	var s sdpReader
	for rest := sdp; rest != "" || s.lines == 0; {
		var line string
		var ended bool
		line, rest, ended = strings.Cut(rest, "\n")
		s.lines++
		err := s.read(strings.TrimSuffix(line, "\r"))
		if err == nil && !ended {
			err = errors.New("its end is missing")
		}
		if err != nil {
			return 0, fmt.Errorf("sdp line %d: %w", s.lines, err)
		}
	}
	return s.all | s.section.needs(), nil
}

// sdpReader reads an SDP line by line.
type sdpReader struct {
	lines, sections int
	all             needs // of the sections before this one
	section         sdpSection
}

// sdpSection is the media section that is being read, or the session's part
// before the first.
type sdpSection struct {
	media      string // "" in the session's part
	portZero   bool
	bundleOnly bool
	streams    bool // a=ssrc or a=rid: it names streams
	directed   bool
	direction  needs
}

func (s *sdpReader) read(line string) error {
	if err := checkLine(line); err != nil {
		return err
	}
	kind, value := line[0], line[2:]
	switch {
	case (kind == 'v') != (s.lines == 1), kind == 'v' && value != "0":
		return errors.New("v=0 must be the first line, and only there")
	case kind == 'm':
		s.all |= s.section.needs()
		if s.sections++; s.sections > maxSections {
			return fmt.Errorf("more than %d media sections", maxSections)
		}
		return s.section.open(value)
	case kind == 'a':
		return s.section.attribute(value)
	}
	return nil
}

// checkLine checks what all lines have in common (RFC 8866, section 5).
func checkLine(line string) error {
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' { // also a return that is not part of the line's end
			return errors.New("only printable ASCII is accepted")
		}
	}
	switch {
	case len(line) < 3 || line[1] != '=' || !strings.Contains("vosiuepcbtrzkam", line[:1]):
		return errors.New("not of the form x=value")
	case line[2] == ' ' && line[0] != 's': // "s= " is a session without a name
		return errors.New("space after the equals sign")
	}
	return nil
}

// open starts a section with the value of its m-line: media, port, protocol and
// formats (RFC 8866, section 5.14).
func (s *sdpSection) open(value string) error {
	*s = sdpSection{}
	media, rest, _ := strings.Cut(value, " ")
	port, rest, _ := strings.Cut(rest, " ")
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case media == "" || strings.Trim(media, "abcdefghijklmnopqrstuvwxyz") != "":
		return errors.New("the media type must be in lower-case letters")
	case err != nil || port != strconv.FormatUint(number, 10):
		return errors.New("the port must be a plain number up to 65535")
	case !strings.Contains(rest, " ") || strings.HasPrefix(rest, " ") || strings.HasSuffix(rest, " ") || strings.Contains(rest, "  "):
		return errors.New("the media line must have a port, a protocol and formats, with one space between them")
	}
	s.media, s.portZero = media, number == 0
	return nil
}

// attribute reads an a-line.
func (s *sdpSection) attribute(value string) error {
	if !isAlphanumeric(value[0]) { // some skip what comes before the name
		return errors.New("the attribute's name must begin with a letter or digit")
	}
	if err := checkSpelling(value); err != nil {
		return err
	}
	word, direction := reserved(value)
	switch {
	case word == "":
		s.streams = s.streams || strings.HasPrefix(value, "ssrc") || strings.HasPrefix(value, "rid")
		return nil
	case word != value: // some compare the beginning alone, or without regard to case
		return fmt.Errorf("%s must be written so, and stand alone", word)
	case s.media == "" && word != "sendrecv": // which Firefox writes there; it is the default anyway
		return fmt.Errorf("%s belongs into a media section", word)
	case word == bundleOnly:
		s.bundleOnly = true
		return nil
	case s.directed:
		return errors.New("a second direction in one section")
	}
	s.directed, s.direction = true, direction
	return nil
}

// checkSpelling refuses other spellings of the attributes that decide limits and identities. Firefox
// compares names without regard to case, and accepts a space in place of the colon or before it.
func checkSpelling(value string) error {
	for _, name := range [...]string{"candidate", "fingerprint", "ice-pwd", "ice-ufrag"} {
		if len(value) < len(name) || !strings.EqualFold(value[:len(name)], name) {
			continue
		}
		if rest, ok := strings.CutPrefix(value, name+":"); !ok || rest == "" || rest[0] == ' ' {
			return fmt.Errorf("%s must be written in lower case, with a colon and its value right after it", name)
		}
	}
	return nil
}

const bundleOnly = "bundle-only" // RFC 9143, section 6

// reserved returns the attribute that value is, or could be taken for.
func reserved(value string) (word string, direction needs) {
	for _, r := range [...]struct {
		word      string
		direction needs
	}{
		{"sendrecv", needPublish | needSubscribe},
		{"sendonly", needPublish},
		{"recvonly", needSubscribe},
		{"inactive", 0},
		{bundleOnly, 0},
	} {
		if len(value) >= len(r.word) && strings.EqualFold(value[:len(r.word)], r.word) {
			return r.word, r.direction
		}
	}
	return "", 0
}

// needs returns what the section needs, now that all of it is read.
func (s *sdpSection) needs() needs {
	rejected := s.portZero && !s.bundleOnly
	switch {
	case s.media == "":
		return 0
	case s.media == "application":
		if rejected {
			return 0
		}
		return needData
	case s.directed: // of a rejected section, too: pion follows the direction whatever the port
		return s.direction
	case rejected && !s.streams: // and expects the streams
		return 0
	}
	return needPublish | needSubscribe
}
