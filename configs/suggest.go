package configs

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean words the way from an unknown key to a known one: the nearest, or all of them if none is near.
func didYouMean(key string, known []string) string {
	best, least := "", 1+max(2, len(key)/3)
	for _, k := range known {
		if n := distance(strings.ToLower(key), k); n < least {
			best, least = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; known here: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to turn a into b (the restricted
// Damerau-Levenshtein distance). A word far longer than any key of ours is far from all of them.
func distance(a, b string) int {
	if len(a) > len(b)+16 {
		return len(a)
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, row = prev, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
