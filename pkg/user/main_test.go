package user_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childStore); path != "" {
		addUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}
