package plugin

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPrefixes and maxClass bound what is written out of an expression's alternatives.
const (
	maxPrefixes = 16
	maxClass    = 4 // characters of a class
)

// shape is what every text that an expression matches has: what refuses most texts at little cost.
type shape struct {
	prefixes []string // it begins with one of these; nil: any text may match
	suffix   string   // it ends with this
	least    int      // it has at least as many bytes
}

// shapeOf returns the shape of an expression that has been compiled.
func shapeOf(expr string) shape {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return shape{}
	}
	re = re.Simplify()
	s := shape{least: least(re)}
	if anchored(re, syntax.OpBeginText) {
		if s.prefixes, _ = prefixesOf(re); slices.Contains(s.prefixes, "") {
			s.prefixes = nil
		}
	}
	if anchored(re, syntax.OpEndText) {
		s.suffix = suffixOf(re)
	}
	return s
}

// fits reports whether a text has the suffix and the length. Its prefix has been looked at by the index, or is by the
// expression itself.
func (s *shape) fits(text string) bool {
	return len(text) >= s.least && strings.HasSuffix(text, s.suffix)
}

// anchored reports whether every match touches the text's begin, or its end.
func anchored(re *syntax.Regexp, op syntax.Op) bool {
	switch re.Op {
	case op:
		return true
	case syntax.OpCapture:
		return anchored(re.Sub[0], op)
	case syntax.OpConcat:
		if op == syntax.OpBeginText {
			return anchored(re.Sub[0], op)
		}
		return anchored(re.Sub[len(re.Sub)-1], op)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !anchored(sub, op) })
	default:
		return false
	}
}

// prefixesOf returns texts one of which every match begins with. They are whole if each of them is a match by itself.
func prefixesOf(re *syntax.Regexp) (texts []string, whole bool) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}, true
	case syntax.OpLiteral:
		return literalPrefixes(re)
	case syntax.OpCharClass:
		return classPrefixes(re.Rune)
	case syntax.OpCapture:
		return prefixesOf(re.Sub[0])
	case syntax.OpPlus:
		texts, _ = prefixesOf(re.Sub[0])
		return texts, false
	case syntax.OpQuest:
		texts, whole = prefixesOf(re.Sub[0])
		return append(texts, ""), whole
	case syntax.OpAlternate:
		whole = true
		for _, sub := range re.Sub {
			more, all := prefixesOf(sub)
			texts, whole = append(texts, more...), whole && all
		}
		if len(texts) <= maxPrefixes {
			return texts, whole
		}
	case syntax.OpConcat:
		return concatPrefixes(re.Sub)
	default:
	}
	return []string{""}, false
}

// plainText reports whether a literal matches nothing but its own bytes: not another case, which may take fewer, nor, as
// the replacement character does, any byte that is no text.
func plainText(re *syntax.Regexp) bool {
	return re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError)
}

// literalPrefixes writes a literal out in all its cases, as far as there are few enough.
func literalPrefixes(re *syntax.Regexp) ([]string, bool) {
	texts := []string{""}
	for _, r := range re.Rune {
		cases := []string{string(r)}
		if re.Flags&syntax.FoldCase != 0 {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				cases = append(cases, string(f))
			}
		}
		if r == utf8.RuneError || len(texts)*len(cases) > maxPrefixes {
			return texts, false
		}
		texts = product(texts, cases)
	}
	return texts, true
}

func product(heads, tails []string) []string {
	texts := make([]string, 0, len(heads)*len(tails))
	for _, a := range heads {
		for _, b := range tails {
			texts = append(texts, a+b)
		}
	}
	return texts
}

func classPrefixes(ranges []rune) ([]string, bool) {
	var texts []string
	for i := 0; i < len(ranges); i += 2 {
		if int(ranges[i+1]-ranges[i])+len(texts) >= maxClass {
			return []string{""}, false
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if r == utf8.RuneError {
				return []string{""}, false
			}
			texts = append(texts, string(r))
		}
	}
	return texts, true
}

func concatPrefixes(subs []*syntax.Regexp) ([]string, bool) {
	texts := []string{""}
	for _, sub := range subs {
		more, whole := prefixesOf(sub)
		if len(texts)*len(more) > maxPrefixes {
			return texts, false
		}
		if texts = product(texts, more); !whole {
			return texts, false
		}
	}
	return texts, true
}

// suffixOf returns a text that every match ends with.
func suffixOf(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if plainText(re) {
			return string(re.Rune)
		}
	case syntax.OpCapture:
		return suffixOf(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range slices.Backward(re.Sub) {
			if sub.Op != syntax.OpEndText {
				return suffixOf(sub)
			}
		}
	default:
	}
	return ""
}

// least returns how many bytes a match has at least.
func least(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		if !plainText(re) {
			return len(re.Rune)
		}
		for _, r := range re.Rune {
			n += utf8.RuneLen(r)
		}
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return least(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			n += least(sub)
		}
	case syntax.OpAlternate:
		n = least(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, least(sub))
		}
	default:
	}
	return n
}
