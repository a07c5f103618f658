package turnserver

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/udp"
)

// Costs in tokens of Config.RequestRate. Work grows with what a request holds: one with 64 peers
// costs four to seven.
const (
	requestUnit  = 256 // bytes: a request costs a token for each that it begins
	allocateCost = 4   // of opening an allocation

	requestBurst = 5 * time.Second // how much of a rate may come at once

	quotaShare = 10 // a user has the rate of one in so many of the allocations that the quota allows
)

// Bounds of the requests that wait for an answer.
const (
	maxWaiting        = 1024 // of owners of allocations, and of strangers
	maxWaitingOfUser  = 256
	maxWaitingOfGroup = 64 // of addresses, see limit.Group
)

func requestCost(length int) int { return 1 + length/requestUnit }

// requestRate is the rate of requests about so many allocations, in tokens per second.
func (s *settings) requestRate(allocations int) int64 {
	return int64(s.RequestRate) * int64(max(1, allocations))
}

// admits reports whether the allocation's owner may make a request of that length now. It takes
// nothing: what comes from the client's address may be somebody else's.
func (a *allocation) admits(now time.Duration, length int) bool {
	cost := requestCost(length)
	return a.requests.has(now, cost) && a.use.requests.has(now, cost)
}

// takeRequest counts a request that the owner has signed, or reports that it is beyond a rate.
func (a *allocation) takeRequest(now time.Duration, length int) bool {
	cost := requestCost(length)
	if !a.requests.take(now, cost) {
		return false
	}
	if a.use.requests.take(now, cost) {
		return true
	}
	a.requests.giveBack(cost)
	return false
}

// requestPause is how often awaitRequest looks.
const requestPause = 10 * time.Millisecond

// awaitRequest waits until a request that came over a connection is within the rates, and counts
// it: the client would not send it again. It runs on the connection's goroutine, so that the
// connection is not read meanwhile.
func (a *allocation) awaitRequest(length int) bool {
	for !a.takeRequest(a.server.allocations.bandwidth.now(), length) {
		timer := time.NewTimer(requestPause)
		select {
		case <-timer.C:
		case <-a.ended: // which the guard then says
			timer.Stop()
			return true
		case <-a.server.closing:
			timer.Stop()
			return false
		}
	}
	return true
}

// requests are those of UDP clients, from the goroutines that read packets to the one that answers.
// Readers never wait: what is more than a sender's share, or than all may have waiting, is dropped,
// and the client sends it again (RFC 8489 section 6.2.1). Requests of one five-tuple are answered
// in the order in which they came.
type requests struct {
	ready chan struct{} // holds a value if something waits
	pool  sync.Pool     // of *waitingRequest

	// guarded by mu
	mu        sync.Mutex
	owners    lane[*usage]
	strangers lane[netip.Prefix]
}

// waitingRequest is a copy of one.
type waitingRequest struct {
	client client
	length int
	buffer [maxRequest]byte
}

// lane is a queue in which each sender has a share.
type lane[K comparable] struct {
	waiting []*waitingRequest
	shares  map[K]int
}

func newRequests() *requests {
	return &requests{
		ready:     make(chan struct{}, 1),
		pool:      sync.Pool{New: func() any { return new(waitingRequest) }},
		owners:    lane[*usage]{shares: make(map[*usage]int)},
		strangers: lane[netip.Prefix]{shares: make(map[netip.Prefix]int)},
	}
}

// put queues a message from c, who has the allocation a or none if that is nil, and reports whether
// there was room.
func (r *requests) put(a *allocation, c client, message []byte) bool {
	w := r.pool.Get().(*waitingRequest)
	w.client, w.length = c, copy(w.buffer[:], message)
	if !r.add(a, w) {
		r.pool.Put(w)
		return false
	}
	select {
	case r.ready <- struct{}{}:
	default:
	}
	return true
}

func (r *requests) add(a *allocation, w *waitingRequest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a != nil {
		return r.owners.add(a.use, maxWaitingOfUser, w)
	}
	return r.strangers.add(limit.Group(w.client.client.Addr()), maxWaitingOfGroup, w)
}

func (l *lane[K]) add(sender K, share int, w *waitingRequest) bool {
	if len(l.waiting) == maxWaiting || l.shares[sender] == share {
		return false
	}
	l.shares[sender]++
	l.waiting = append(l.waiting, w)
	return true
}

// take appends what waits to list, owners first, and empties the queue.
func (r *requests) take(list []*waitingRequest) []*waitingRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.strangers.take(r.owners.take(list))
}

func (l *lane[K]) take(list []*waitingRequest) []*waitingRequest {
	list = append(list, l.waiting...)
	clear(l.waiting)
	l.waiting = l.waiting[:0]
	clear(l.shares)
	return list
}

// answerRequests is the goroutine that answers UDP clients, until the server is closed.
func (s *Server) answerRequests() {
	queue := udp.NewQueue()
	var list []*waitingRequest
	for {
		select {
		case <-s.requests.ready:
		case <-s.closing:
			return
		}
		list = s.answerWaiting(queue, list[:0])
	}
}

// answerWaiting answers what waits now. It uses the memory of list, which is empty, and returns it.
func (s *Server) answerWaiting(queue *udp.Queue, list []*waitingRequest) []*waitingRequest {
	list = s.requests.take(list)
	for i, w := range list {
		s.answer(queue, w)
		list[i] = nil
		s.requests.pool.Put(w)
	}
	return list
}

func (s *Server) answer(queue *udp.Queue, w *waitingRequest) {
	c := &w.client
	answer := s.guard.handle(c, w.buffer[:w.length])
	if answer == nil {
		return
	}
	dropped := 0
	if !c.send(queue, nil, answer) {
		dropped++
	}
	if dropped += queue.Flush(); dropped > 0 {
		c.listener.counters.dropped[dropQueue].Add(uint64(dropped))
	}
}
