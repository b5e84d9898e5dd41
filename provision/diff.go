package provision

import (
	"fmt"
	"strings"
)

const (
	diffContext = 3       // lines around a change
	diffCells   = 1 << 22 // of the table of a comparison; beyond that the middle is told as replaced
)

// Unified returns the difference of two texts in the unified format, without headers; empty: they are the same.
func Unified(before, after string) string {
	if before == after {
		return ""
	}
	edits := compareLines(lines(before), lines(after))
	var b strings.Builder
	for i := 0; i < len(edits); {
		if edits[i].kind == ' ' {
			i++
			continue
		}
		from, to := i, i
		for j, quiet := i, 0; j < len(edits) && quiet <= 2*diffContext; j++ { // hunks that would touch are one
			if quiet++; edits[j].kind != ' ' {
				to, quiet = j+1, 0
			}
		}
		i = to
		writeHunk(&b, edits, max(0, from-diffContext), min(len(edits), to+diffContext))
	}
	return b.String()
}

// edit is a line that stays (' '), goes ('-') or comes ('+'). a and b are the lines before it in both texts.
type edit struct {
	kind byte
	line string
	a, b int
}

func writeHunk(b *strings.Builder, edits []edit, from, to int) {
	var old, fresh int
	for _, e := range edits[from:to] {
		if e.kind != '+' {
			old++
		}
		if e.kind != '-' {
			fresh++
		}
	}
	start := func(before, n int) int { // an empty range is told by the line before it
		if n == 0 {
			return before
		}
		return before + 1
	}
	first := edits[from]
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", start(first.a, old), old, start(first.b, fresh), fresh)
	for _, e := range edits[from:to] {
		b.WriteByte(e.kind)
		b.WriteString(e.line)
		if !strings.HasSuffix(e.line, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func lines(s string) []string {
	l := strings.SplitAfter(s, "\n")
	if l[len(l)-1] == "" {
		l = l[:len(l)-1]
	}
	return l
}

// compareLines finds a shortest way from one text to the other, by their longest common subsequence.
func compareLines(x, y []string) []edit {
	var head, tail int
	for head < min(len(x), len(y)) && x[head] == y[head] {
		head++
	}
	for tail < min(len(x), len(y))-head && x[len(x)-1-tail] == y[len(y)-1-tail] {
		tail++
	}
	edits := make([]edit, 0, len(x)+len(y))
	i, j := 0, 0
	add := func(kind byte) {
		e := edit{kind: kind, a: i, b: j}
		if kind == '+' {
			e.line = y[j]
		} else {
			e.line = x[i]
		}
		if kind != '+' {
			i++
		}
		if kind != '-' {
			j++
		}
		edits = append(edits, e)
	}
	for range head {
		add(' ')
	}
	n, m := len(x)-head-tail, len(y)-head-tail
	var common [][]int32 // common[i][j]: how many lines x[i:] and y[j:] of the middle share
	if n > 0 && m > 0 && (n+1)*(m+1) <= diffCells {
		cells := make([]int32, (n+1)*(m+1))
		common = make([][]int32, n+1)
		for r := range common {
			common[r] = cells[r*(m+1) : (r+1)*(m+1)]
		}
		for r := n - 1; r >= 0; r-- {
			for c := m - 1; c >= 0; c-- {
				if x[head+r] == y[head+c] {
					common[r][c] = common[r+1][c+1] + 1
				} else {
					common[r][c] = max(common[r+1][c], common[r][c+1])
				}
			}
		}
	}
	for i < head+n || j < head+m {
		r, c := i-head, j-head
		switch {
		case r == n:
			add('+')
		case c == m:
			add('-')
		case common != nil && x[i] == y[j]:
			add(' ')
		case common != nil && common[r][c+1] > common[r+1][c]:
			add('+')
		default:
			add('-')
		}
	}
	for range tail {
		add(' ')
	}
	return edits
}
