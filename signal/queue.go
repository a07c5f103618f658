package signal

// queue holds the messages that wait for a client, in order. Its client's conn.mu guards it.
//
// Messages of other users and the server's own are bounded apart, each by Config.MaxQueue. So
// whatever others send, they cannot use up the room of what the server has to say.
type queue struct {
	messages []message
	others   int32 // bytes of other users' messages
	own      int32 // bytes of the server's own messages
}

// message is one that waits in a queue.
type message struct {
	frame []byte
	from  string // name of the user who sent it, or presence; empty: the server's own
}

// messageCost is what another user's message costs in bytes beside its frame: the memory that holds
// it, and the leave that the server owes once a call has begun with it. So there is always room for
// that leave among the server's own messages.
const messageCost = 256

// precedence says how much of a queue a sender may fill: 1/precedence of what stays free.
type precedence int

const (
	bulk   precedence = 4 // descriptions and candidates
	urgent precedence = 2 // short messages about a call: they still fit behind their sender's bulk
	common precedence = 1 // presence
)

// fits reports whether one more message of a sender fits into a queue of limit bytes. What a sender
// has waiting may be a fraction of what stays free: so one alone gets a fifth of the queue, or a
// third for urgent messages, and each further one finds room left. An empty queue takes any message.
func (q *queue) fits(m message, p precedence, limit int) bool {
	size := len(m.frame) + messageCost
	free := limit - int(q.others) - size
	return q.others == 0 || free > 0 && (size+q.waiting(m.from))*int(p) <= free
}

// waiting returns how many bytes of a sender's messages wait.
func (q *queue) waiting(from string) (n int) {
	for i := range q.messages {
		if q.messages[i].from == from {
			n += len(q.messages[i].frame) + messageCost
		}
	}
	return n
}

func (q *queue) add(m message) {
	q.messages = append(q.messages, m)
	if m.from == "" {
		q.own += int32(len(m.frame))
	} else {
		q.others += int32(len(m.frame) + messageCost)
	}
}
