package turnserver

import (
	"net/netip"
	"sync"

	"github.com/sigctl/sigctl/pkg/limit"
)

// strangerGroups is how many address groups are told apart, for some 5 MB in all.
const strangerGroups = 1 << 14

// strangers bounds what is done for those who have proven nothing. Over UDP that are answers: nobody knows whether they are
// at the address that their packets say, and a relay is no way to send others more than they were sent. Over all transports
// it is the search for the key of a signature: a name may be that of every secret.
type strangers struct {
	refusal  answerLimit // 401, 438 and the like
	binding  answerLimit
	searches *limit.Buckets[netip.Prefix]
	excepted sync.Map // netip.AddrPort: clients that are our own, see Server.Check
}

func newStrangers() *strangers {
	return &strangers{
		refusal: newAnswerLimit(limit.Rate{PerSecond: 20, Burst: 40}, limit.Rate{PerSecond: 2_000, Burst: 2_000}),
		binding: newAnswerLimit(limit.Rate{PerSecond: 100, Burst: 200}, limit.Rate{PerSecond: 10_000, Burst: 10_000}),
		// Those that find the key count as well, so it is more than the calls of any office, and than all that a relay has
		// by default, should they come back at once from one address.
		searches: limit.NewBuckets[netip.Prefix](limit.Rate{PerSecond: 1_000, Burst: 20_000}, strangerGroups),
	}
}

// mayRefuse reports whether a refusal may be sent to a stranger.
func (s *strangers) mayRefuse(to netip.AddrPort) bool {
	return s.isOurs(to) || s.refusal.allow(to.Addr())
}

// mayBind reports whether a stranger's Binding request may be answered.
func (s *strangers) mayBind(to netip.AddrPort) bool {
	return s.isOurs(to) || s.binding.allow(to.Addr())
}

// maySearch reports whether the key may be looked for with which a request is signed that has a nonce of ours.
func (s *strangers) maySearch(from netip.AddrPort) bool {
	return s.isOurs(from) || s.searches.Take(limit.Group(from.Addr()), 1) == 0
}

func (s *strangers) isOurs(client netip.AddrPort) bool {
	_, ours := s.excepted.Load(client)
	return ours
}

// answerLimit bounds one kind of answers, to each address group and to all. A burst lets an office behind one address begin
// together; who waits longer than that sends again anyway.
type answerLimit struct {
	groups *limit.Buckets[netip.Prefix]
	all    *limit.Buckets[struct{}]
}

func newAnswerLimit(group, all limit.Rate) answerLimit {
	return answerLimit{limit.NewBuckets[netip.Prefix](group, strangerGroups), limit.NewBuckets[struct{}](all, 1)}
}

// allow reports whether one more answer may be sent to an address. One group's flood uses up nothing of the others'.
func (l answerLimit) allow(to netip.Addr) bool {
	return l.groups.Take(limit.Group(to), 1) == 0 && l.all.Take(struct{}{}, 1) == 0
}
