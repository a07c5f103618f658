package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// patience ends a test that hangs. No test passes by waiting for it.
const patience = 2 * time.Minute

// TestMain makes the test binary be sigctl where a script runs it.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"sigctl": main})
}

// leakChecked fails a good run that left goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	if code := l.m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestScripts runs what users type: testdata/script/*.txtar. Each script says
// which fault it guards.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: false,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_DATA_HOME", env.WorkDir+"/home")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else the race detector makes each end last 1 s
			env.Values[processesKey] = processes{}
			env.Values[stackKey] = new(func())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     cmdExits,
			"start":     cmdStart,
			"expect":    cmdExpect,
			"interrupt": cmdInterrupt,
			"crash":     cmdCrash,
			"redis":     cmdRedis,
			"finish":    cmdFinish,
			"get":       cmdGet,
			"type":      cmdType,
			"stack":     cmdStack,
			"end-stack": cmdEndStack,
		},
	})
}
