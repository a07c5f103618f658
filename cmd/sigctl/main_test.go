package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

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
			env.Values[processesKey] = processes{}
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
		},
	})
}
