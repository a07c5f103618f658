package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes text from outside safe for a terminal. Control characters,
// with them every escape sequence, and the invisible characters that reorder or
// hide text (Unicode category Cf, except the joiners that scripts and emoji need)
// become '�'; tabs become spaces. The result is one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\u200c', r == '\u200d': // zero-width non-joiner and joiner
			return r
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r),
			r == '\u2028', r == '\u2029', unicode.Is(unicode.Co, r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// printableLines is printable for a text of several lines.
func printableLines(s string) []string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return lines
}
