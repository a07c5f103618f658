package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/admin"
)

func TestWithServer(t *testing.T) {
	opts := testOptions(t)
	nothing := admin.Method[struct{}, struct{}]{Path: "/nothing"}
	call := func(c *admin.Client) error {
		_, err := nothing.Call(t.Context(), c, struct{}{})
		return err
	}
	err := withServer(t.Context(), opts.global.data, call)
	var f *fault
	if !errors.Is(err, admin.ErrNotServing) || !errors.As(err, &f) || len(f.hints) == 0 {
		t.Errorf("without a server: %v, want %v with a hint", err, admin.ErrNotServing)
	}
	startServer(t, opts)
	if err := withServer(t.Context(), opts.global.data, call); err == nil || !strings.Contains(err.Error(), "does not know /nothing") {
		t.Errorf("a call that there is not: %v, want the server's answer", err)
	}
}
