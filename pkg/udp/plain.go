package udp

// plain is the driver that works everywhere: one packet per call, with the net package.
type plain struct{ socket *Socket }

func newPlain(s *Socket) (driver, error) { return plain{s}, nil }

// serve has no batches that a wait would fill. It keeps its buffer while it waits: waiting without one takes calls
// that differ from system to system.
func (d plain) serve(_ *Coalescer, handle func([]Packet)) error {
	buffer := make([]byte, 1<<16)
	batch := make([]Packet, 1)
	for faults := 0; !d.socket.closed.Load(); {
		n, from, err := d.socket.conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			if faults++; faults == maxFaults {
				return err
			}
			continue
		}
		faults = 0
		batch[0] = Packet{From: unmap(from), Data: buffer[:n:n]}
		handle(batch)
	}
	return nil
}

func (d plain) send(l *load, ln *lane) (dropped int) {
	for i, at := 0, ln.first; i < ln.runs; i, at = i+1, l.runs[at].next {
		dropped += d.sendRun(l, &l.runs[at])
	}
	return dropped
}

func (d plain) sendRun(l *load, r *run) (dropped int) {
	for i, at := 0, r.first; i < r.packets; i, at = i+1, l.packets[at].next {
		p := &l.packets[at]
		data := p.body
		if p.headLen > 0 {
			l.scratch = append(append(l.scratch[:0], p.head[:p.headLen]...), p.body...)
			data = l.scratch
		}
		if d.socket.write(data, r.to) != nil {
			dropped++
		}
	}
	return dropped
}
