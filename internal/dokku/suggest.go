package dokku

import "slices"

// closest are the names, at most three, that are so near to name that it may be a slip of the pen: a third of its
// letters wrong at most, the nearest first.
func closest(name string, names []string) []string {
	limit := max(1, len(name)/3)
	var near []string
	for _, n := range names {
		if editDistance(name, n) <= limit {
			near = append(near, n)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return editDistance(name, a) - editDistance(name, b) })
	return near[:min(3, len(near))]
}

// editDistance is Levenshtein's: the fewest bytes to insert, delete or replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
