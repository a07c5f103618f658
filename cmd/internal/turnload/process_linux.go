package turnload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is the server's, zero if there is none to look at.
type process struct{ pid int }

// CheckPID tells whether what the process uses can be read.
func CheckPID(pid int) error {
	_, err := process{pid}.cpu()
	return err
}

// cpu returns the processor time used so far, by user and system together, of all threads that live: proc(5),
// schedstat.
func (p process) cpu() (total time.Duration, err error) {
	if p.pid == 0 {
		return 0, nil
	}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid)) // the pattern is right
	if len(files) == 0 {
		return 0, fmt.Errorf("process %d: is not running, or its schedstat cannot be read", p.pid)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread has just ended
		}
		if err != nil {
			return 0, err
		}
		onCPU, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(onCPU, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(n)
	}
	return total, nil
}

// memory returns the resident set in bytes: proc(5), statm.
func (p process) memory() (int64, error) {
	if p.pid == 0 {
		return 0, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("short /proc statm")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
