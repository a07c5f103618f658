package limit

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// subject is whose failures are counted: an address group's, a user's, or those of a user at an address group.
type subject struct {
	user  string
	group netip.Prefix
}

// record is what is remembered of a subject.
type record struct {
	failures int
	last     int64 // failure, Unix nanoseconds
}

// table counts one kind of subjects. Its Throttle's lock guards it.
type table struct {
	opts    ThrottleOptions
	seed    maphash.Seed
	records *simplelru.LRU[uint64, record]
	// gates are those in use: as many as there are attempts at most, whom the caller bounds. Were attempts under way in
	// records, a flood of them that is never decided would push out failures, and cost nothing.
	gates map[subject]*gate
}

func newTable(o ThrottleOptions) *table {
	records, _ := simplelru.NewLRU[uint64, record](o.Size, nil) // Size is positive
	return &table{opts: o, seed: maphash.MakeSeed(), records: records, gates: map[subject]*gate{}}
}

// state is what there is to know of a subject at one time.
type state struct {
	failures int           // remembered
	delay    time.Duration // still to go
	underWay int           // attempts
	full     bool          // if those under way fail, there is a delay
	gate     *gate         // of those under way
}

func (s state) ifFull() *gate {
	if s.full {
		return s.gate
	}
	return nil
}

func (t *table) at(who subject, now time.Time) state {
	var s state
	if r, ok := t.records.Get(t.key(who)); ok && now.UnixNano()-r.last < int64(t.opts.Forget) {
		s.failures = r.failures
		s.delay = max(0, t.opts.delay(r.failures)-time.Duration(now.UnixNano()-r.last))
	}
	if s.gate = t.gates[who]; s.gate != nil {
		s.underWay = s.gate.underWay
	}
	s.full = s.underWay > 0 && t.opts.delay(s.failures+s.underWay) > 0
	return s
}

// key is what a subject is remembered by: a number takes a third of the memory of a name and a prefix. That two of
// them are one is as likely as guessing it, and nobody can look for such two: the seed is secret.
func (t *table) key(who subject) uint64 { return maphash.Comparable(t.seed, who) }

func (t *table) has(who subject) bool { return t.records.Contains(t.key(who)) }

func (t *table) fail(who subject, now time.Time) {
	t.set(who, record{t.at(who, now).failures + 1, now.UnixNano()})
}

// set keeps a copy of the name, which may be part of a long message.
func (t *table) set(who subject, r record) {
	t.records.Add(t.key(who), r)
}

// forgive takes back n failures.
func (t *table) forgive(who subject, n int) {
	r, ok := t.records.Peek(t.key(who))
	if !ok || n == 0 {
		return
	}
	if r.failures -= n; r.failures <= 0 {
		t.records.Remove(t.key(who))
		return
	}
	t.set(who, r)
}

// enter counts one more attempt under way.
func (t *table) enter(who subject) *gate {
	g := t.gates[who]
	if g == nil {
		g = &gate{table: t, subject: who}
		t.gates[who] = g
	}
	g.underWay++
	return g
}
