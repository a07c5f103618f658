package turnserver

import (
	"net/netip"
	"sync"

	"github.com/sigctl/sigctl/pkg/limit"
)

// strangerGroups is how many address groups are told apart, for some 3 MB in all.
const strangerGroups = 1 << 14

// strangers bounds what is sent over UDP to those who have proven nothing, not even that they are at the address that
// their packets say: a relay is no way to send others more than they were sent. What authenticates is never counted.
type strangers struct {
	refusal  answerLimit // 401, 438 and the like
	binding  answerLimit
	excepted sync.Map // netip.AddrPort: clients that are our own, see Server.Check
}

func newStrangers() *strangers {
	return &strangers{
		refusal: newAnswerLimit(limit.Rate{PerSecond: 20, Burst: 40}, limit.Rate{PerSecond: 2_000, Burst: 2_000}),
		binding: newAnswerLimit(limit.Rate{PerSecond: 100, Burst: 200}, limit.Rate{PerSecond: 10_000, Burst: 10_000}),
	}
}

// mayRefuse reports whether a refusal may be sent to a stranger.
func (s *strangers) mayRefuse(to netip.AddrPort) bool {
	_, ours := s.excepted.Load(to)
	return ours || s.refusal.allow(to.Addr())
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
