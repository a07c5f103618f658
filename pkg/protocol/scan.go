package protocol

// scanned is what one look at a frame tells before it is decoded.
type scanned struct {
	kind, id, from string // of the top-level object
	tooDeep        bool
	plain          bool // these are sure: written once each, without escapes
}

// scan finds the type, the id, the sender and the depth of a JSON text in one pass, so that
// only one more is needed to decode it. It does not validate; what it is not sure
// of is left to encoding/json.
func scan(text []byte) (s scanned) {
	depth, kinds, ids, froms, keys := 0, 0, 0, 0, 0
	var key string // of the value that comes next, at depth 1
	s.plain = true
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > MaxDepth {
				s.tooDeep = true
				return s
			}
			key = ""
		case '}', ']':
			depth--
		case '"':
			end, escaped := stringEnd(text, i)
			if depth == 1 {
				value := text[min(i+1, end):end]
				switch {
				case isKey(text, end+1):
					if key = string(value); key == "type" || key == "id" || key == "from" {
						keys++
					}
					s.plain = s.plain && !escaped
				case key == "type":
					s.kind, kinds = string(value), kinds+1
					s.plain = s.plain && !escaped
				case key == "id":
					s.id, ids = string(value), ids+1
					s.plain = s.plain && !escaped
				case key == "from":
					s.from, froms = string(value), froms+1
					s.plain = s.plain && !escaped
				}
			}
			i = end
		}
	}
	s.plain = s.plain && len(text) > 0 && text[0] == '{' && kinds == 1 && ids <= 1 && froms <= 1 && keys == kinds+ids+froms
	return s
}

// stringEnd returns where the closing quote of the string at start is, or the end
// of the text.
func stringEnd(text []byte, start int) (end int, escaped bool) {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			return i, escaped
		}
	}
	return len(text), escaped
}

// isKey reports whether a colon follows.
func isKey(text []byte, i int) bool {
	for ; i < len(text); i++ {
		switch text[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return text[i] == ':'
		}
	}
	return false
}
