package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// However few descriptors there are, all parts together leave some for everything else.
func TestBudget(t *testing.T) {
	for n := 64; n < 1<<22; n += n/16 + 1 {
		for _, wanted := range []int{0, 100, 10_000, 1_000_000} {
			for name, b := range map[string]budget{"serve": serveBudget(n, wanted), "turn": turnBudget(n, wanted)} {
				used := b.pending + b.sessions + b.turnPending + 2*b.allocations
				if spare := n - used; spare < min(n/8, maxSpare) {
					t.Errorf("%s, %d descriptors, %d allocations wanted: %+v leaves %d", name, n, wanted, b, spare)
				}
				if b.allocations > wanted || wanted > 0 && (b.allocations < 1 || b.turnPending < 1) || name == "serve" && (b.sessions < n/4 || b.pending < 1) {
					t.Errorf("%s, %d descriptors, %d allocations wanted: %+v", name, n, wanted, b)
				}
			}
		}
	}
	if got, want := serveBudget(1<<20, 10_000), (budget{1 << 20, 8192, 1<<20 - 4096 - 2*8192 - 20_000, 8192, 10_000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := serveBudget(0, 10_000), (budget{0, 8192, 0, 8192, 10_000}); got != want {
		t.Errorf("where nothing is known of descriptors: got %+v, want %+v", got, want)
	}
}

func TestBudgetReports(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	o := &relayOptions{prefix: "turn-", maxAllocations: 10_000}
	b := serveBudget(1<<20, o.maxAllocations)
	if b.report(log, o); text.Len() > 0 {
		t.Errorf("with plenty of descriptors: %s", &text)
	}
	b = serveBudget(1024, o.maxAllocations)
	if b.report(log, o); !strings.Contains(text.String(), "level=INFO") {
		t.Errorf("by default: got %q, want a line of level INFO", &text)
	}
	text.Reset()
	o.maxAllocations = 20_000
	b.report(log, o)
	for _, want := range []string{"level=WARN", "--turn-max-allocations", "descriptors=1024", "allocations=160"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %s", want, &text)
		}
	}
}

// Go raises the soft limit of a process to its hard one, which the budget counts on.
func TestSoftLimitIsRaised(t *testing.T) {
	const inner = "SIGCTL_TEST_DESCRIPTORS"
	if os.Getenv(inner) != "" {
		fmt.Println("descriptors:", descriptors())
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("there is no such limit")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `ulimit -Sn 300 && ulimit -Hn 600 && exec "$0" -test.run '^TestSoftLimitIsRaised$' -test.v`, self)
	cmd.Env = append(os.Environ(), inner+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !regexp.MustCompile("descriptors: (599|600)\n").Match(out) {
		t.Errorf("with limits of 300 and 600: %v, %s", err, out)
	}
}
