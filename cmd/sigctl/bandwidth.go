package main

import (
	"fmt"
	"strconv"
	"strings"
)

// parseBandwidth reads a number of bytes, with or without a unit. Off is -1.
func parseBandwidth(text string) (int64, error) {
	if text == "off" {
		return -1, nil
	}
	digits := strings.TrimRight(text, "kKMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit := bytesOf(text[len(digits):])
	if err != nil || n < 1 || unit == 0 || n > 1<<50/unit {
		return 0, fmt.Errorf("%q is no number of bytes", text)
	}
	return n * unit, nil
}

// bytesOf returns how many a unit has, 0 if there is no such unit.
func bytesOf(unit string) int64 {
	switch unit {
	case "", "B":
		return 1
	case "kB":
		return 1e3
	case "KiB":
		return 1 << 10
	case "MB":
		return 1e6
	case "MiB":
		return 1 << 20
	case "GB":
		return 1e9
	case "GiB":
		return 1 << 30
	}
	return 0
}
