package main

import "testing"

func TestMemoryIsTrimmedAfterWaves(t *testing.T) {
	for _, tt := range []struct {
		before, now int
		want        bool
	}{
		{0, 0, false}, {0, 99, false}, {0, 100, true}, {100, 0, true},
		{5000, 5000, false}, {5000, 5100, false}, {5000, 5600, true}, {5000, 4000, true},
	} {
		if got := changedMuch(tt.before, tt.now); got != tt.want {
			t.Errorf("changedMuch(%d, %d) = %v, want %v", tt.before, tt.now, got, tt.want)
		}
	}
}
