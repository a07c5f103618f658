package turnload

// Report is what was measured. Its JSON is what `sigctl bench turn --json` prints.
type Report struct {
	Server      string    `json:"server"`
	Direction   Direction `json:"direction"`
	Indications bool      `json:"indications,omitempty"` // data travelled in them, not in channels
	Size        int       `json:"size"`                  // bytes of payload
	Burst       int       `json:"burst"`

	Allocations  int         `json:"allocations"`
	SetupSeconds float64     `json:"setupSeconds"` // until all were made and bound, many at a time
	Allocate     Percentiles `json:"allocateMicros"`
	Bind         Percentiles `json:"bindMicros"` // channels, or permissions

	// Of the load; with Config.Search, at the highest rate without loss. All zero if there was none.
	Sent        uint64      `json:"sent"`
	Received    uint64      `json:"received"`
	LostPercent float64     `json:"lostPercent"`        // of what was sent, by the server or on the way
	Overruns    uint64      `json:"overruns,omitempty"` // packets that came, and were not read in time (Linux)
	Rate        float64     `json:"rate"`               // packets/s that were sent
	Latency     Percentiles `json:"latencyMicros"`
	SendError   string      `json:"sendError,omitempty"` // why a packet did not leave this process

	// LimitedBy says what ended a search: the server's loss, or that no more could be sent from here.
	LimitedBy string `json:"limitedBy,omitempty"`

	// Of the server's process, if it was named: its processor time, by user and system together.
	CPUPerPacket   float64 `json:"cpuPerPacketMicros,omitempty"`
	IdleCPUPercent float64 `json:"idleCPUPercent,omitempty"` // of one core, while all allocations were idle
	MemoryBefore   int64   `json:"memoryBeforeBytes,omitempty"`
	Memory         int64   `json:"memoryBytes,omitempty"` // resident, with all allocations

	Interrupted bool `json:"interrupted,omitempty"`
}

// Percentiles of times, in µs.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// What ends a search.
const (
	LimitLoss = "loss" // the server lost packets above this rate
	LimitLoad = "load" // this machine could not send more
)
