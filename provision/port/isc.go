package port

import (
	"fmt"
	"strings"
)

// stmt is a statement of dhcpd.conf: words up to a semicolon, or with a block of others.
type stmt struct {
	at
	words []word
	block []stmt
	open  bool // it has a block
}

// word is a word, a text in quotes, or one of the characters that separate.
type word struct {
	text   string
	quoted bool
}

// is reports whether the statement begins with these words.
func (s *stmt) is(words ...string) bool {
	if len(s.words) < len(words) {
		return false
	}
	for i, w := range words {
		if s.words[i].quoted || !strings.EqualFold(s.words[i].text, w) {
			return false
		}
	}
	return true
}

// word returns the nth word, or "".
func (s *stmt) word(n int) string {
	if n < len(s.words) {
		return s.words[n].text
	}
	return ""
}

// String returns the words as one line.
func (s *stmt) String() string { return spell(s.words) }

func spell(words []word) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.text != "," {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

// The bounds of what is read.
const (
	maxBlocks     = 32 // one within the other
	maxIncludes   = 16
	maxStatements = 1_000_000 // of all files, each as often as it is included
)

// scanner reads the statements of one file.
type scanner struct {
	file string
	data []byte
	pos  int
	line int
}

func (c *scanner) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", c.file, line, fmt.Sprintf(format, args...))
}

// next returns the next word; ok is false at the end of the file.
func (c *scanner) next() (w word, ok bool, err error) {
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; {
		case b == '\n':
			c.line++
			c.pos++
		case b == ' ' || b == '\t' || b == '\r' || b == '\f':
			c.pos++
		case b == '#':
			for c.pos < len(c.data) && c.data[c.pos] != '\n' {
				c.pos++
			}
		case b == '"':
			return c.quoted()
		case strings.IndexByte("{};,=()!", b) >= 0:
			c.pos++
			return word{text: string(b)}, true, nil
		case b < ' ' || b == 0x7f:
			return word{}, false, c.errorf(c.line, "it is no text")
		default:
			start := c.pos
			for c.pos < len(c.data) && c.data[c.pos] > ' ' && strings.IndexByte(`{};,=()!"#`, c.data[c.pos]) < 0 {
				c.pos++
			}
			return word{text: string(c.data[start:c.pos])}, true, nil
		}
	}
	return word{}, false, nil
}

// quoted reads a text, with the escapes of C.
func (c *scanner) quoted() (word, bool, error) {
	begin := c.line
	var b []byte
	for c.pos++; c.pos < len(c.data); c.pos++ {
		switch x := c.data[c.pos]; x {
		case '"':
			c.pos++
			return word{string(b), true}, true, nil
		case '\n':
			return word{}, false, c.errorf(begin, "a text in quotes doesn't end in its line")
		case '\\':
			if c.pos++; c.pos < len(c.data) {
				b = append(b, c.escaped()...)
			}
		default:
			b = append(b, x)
		}
	}
	return word{}, false, c.errorf(begin, "a text in quotes doesn't end")
}

// escaped reads what stands behind a backslash, and stays on its last byte.
func (c *scanner) escaped() []byte {
	x := c.data[c.pos]
	if i := strings.IndexByte("trnb", x); i >= 0 {
		return []byte{"\t\r\n\b"[i]}
	}
	var size, base int
	switch {
	case x == 'x':
		size, base = 2, 16
		c.pos++
	case '0' <= x && x <= '7':
		size, base = 3, 8
	default:
		return []byte{x}
	}
	n := 0
	start := c.pos
	for ; c.pos < len(c.data) && c.pos-start < size; c.pos++ {
		d := strings.IndexByte("0123456789abcdef", c.data[c.pos]|0x20)
		if c.data[c.pos] >= '0' && c.data[c.pos] <= '9' {
			d = int(c.data[c.pos] - '0')
		}
		if d < 0 || d >= base {
			break
		}
		n = n*base + d
	}
	c.pos--
	return []byte{byte(n)}
}

// statements reads up to the end of the file, or of the block.
func (c *scanner) statements(depth int) (out []stmt, err error) {
	if depth > maxBlocks {
		return nil, c.errorf(c.line, "there are over %d blocks within each other", maxBlocks)
	}
	opened := c.line
	s := stmt{}
	for {
		w, ok, err := c.next()
		if err != nil {
			return nil, err
		}
		if len(s.words) == 0 {
			s.at = at{c.file, c.line}
		}
		switch {
		case !ok && depth > 0:
			return nil, c.errorf(opened, "the block that begins here has no end")
		case !ok && len(s.words) > 0:
			return nil, c.errorf(s.line, "%q has no semicolon behind it", s.String())
		case !ok:
			return out, nil
		case w.quoted:
			s.words = append(s.words, w)
		case w.text == "}" && len(s.words) > 0:
			return nil, c.errorf(s.line, "%q has no semicolon behind it", s.String())
		case w.text == "}" && depth == 0:
			return nil, c.errorf(c.line, "a block ends that hasn't begun")
		case w.text == "}":
			return out, nil
		case w.text == "{" && len(s.words) > 0 && s.words[len(s.words)-1].text == "=":
			if s.words, err = c.record(s.words); err != nil {
				return nil, err
			}
		case w.text == "{":
			s.open = true
			if s.block, err = c.statements(depth + 1); err != nil {
				return nil, err
			}
			out = append(out, s)
			s = stmt{}
		case w.text == ";":
			if len(s.words) > 0 {
				out = append(out, s)
			}
			s = stmt{}
		default:
			s.words = append(s.words, w)
		}
	}
}

// record reads the parts of an option's definition: { boolean, integer 32 }.
func (c *scanner) record(words []word) ([]word, error) {
	begin := c.line
	for {
		w, ok, err := c.next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, c.errorf(begin, "the block that begins here has no end")
		case !w.quoted && w.text == "}":
			return words, nil
		}
		words = append(words, w)
	}
}

// parseISC reads files that include each other. Roots are those that no other includes, in their order.
func parseISC(files []File) (roots []stmt, missing []stmt, err error) {
	trees, included := make(map[string][]stmt, len(files)), make(map[string]bool)
	for _, f := range files {
		c := scanner{file: f.Name, data: f.Data, line: 1}
		if trees[f.Name], err = c.statements(0); err != nil {
			return nil, nil, err
		}
	}
	total := 0
	var expand func(list []stmt, depth int) ([]stmt, error)
	expand = func(list []stmt, depth int) (out []stmt, err error) {
		for _, s := range list {
			if total++; total > maxStatements {
				return nil, fmt.Errorf("%s:%d: with what is included there are over %d statements", s.file, s.line, maxStatements)
			}
			if s.open {
				if s.block, err = expand(s.block, depth); err != nil {
					return nil, err
				}
			}
			if !s.is("include") {
				out = append(out, s)
				continue
			}
			f, ok := lookup(files, s.word(1))
			if !ok {
				missing = append(missing, s)
				continue
			}
			included[f.Name] = true
			if depth == maxIncludes {
				return nil, fmt.Errorf("%s:%d: over %d files include each other", s.file, s.line, maxIncludes)
			}
			more, err := expand(trees[f.Name], depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	whole := make(map[string][]stmt, len(files))
	lost := make(map[string][]stmt)
	for _, f := range files {
		missing = nil
		if whole[f.Name], err = expand(trees[f.Name], 0); err != nil {
			return nil, nil, err
		}
		lost[f.Name] = missing
	}
	missing = nil
	for _, f := range files {
		if !included[f.Name] {
			roots, missing = append(roots, whole[f.Name]...), append(missing, lost[f.Name]...)
		}
	}
	return roots, missing, nil
}
