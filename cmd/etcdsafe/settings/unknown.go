package settings

import "strings"

// DidYouMean is "; nearest is " and the candidate that was probably meant, or nothing where none is near. It takes
// variables, flags and keys alike.
func DidYouMean(name string, candidates []string) string {
	best, distance := "", max(3, len(plain(name))/3+1)
	for _, c := range candidates {
		if d := apart(plain(name), plain(c)); d < distance {
			best, distance = c, d
		}
	}
	if end := sameEnd(name, candidates); end != "" && distance > 2 {
		best = end
	}
	if best == "" {
		return ""
	}
	return "; nearest is " + best
}

// sameEnd finds what stands under another job, or under none: ETCDSAFE_IF_OLDER_THAN.
func sameEnd(name string, candidates []string) string {
	if name = plain(name); len(name) < 3 {
		return ""
	}
	for _, c := range candidates {
		p := plain(c)
		if strings.HasSuffix(p, name) || strings.HasSuffix(name, p) {
			return c
		}
	}
	return ""
}

// plain is a name without what differs between a variable, a flag and a key.
func plain(name string) string {
	name = strings.TrimPrefix(name, prefix+"_")
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(name))
}

// apart is Levenshtein's distance.
func apart(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
