package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes text from outside safe for a terminal, as one line: characters
// that could steer it become '�', tabs and line breaks become spaces.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n':
			return ' '
		case unprintable(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// printableLines is printable for each line of a text.
func printableLines(s string) []string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return lines
}

// unprintable reports whether r is a control character, and with them begins
// every escape sequence; or one that reorders or hides the text around it
// (Unicode category Cf, without the joiners that scripts and emoji need); or one
// without a meaning that all share.
func unprintable(r rune) bool {
	switch {
	case r == '\u200c', r == '\u200d': // zero-width non-joiner and joiner
		return false
	case r == '\u2028', r == '\u2029': // line and paragraph separator
		return true
	}
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}
