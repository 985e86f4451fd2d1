package plan

import "slices"

// cap takes the oldest archives that only a rule keeps until both caps hold, over all cluster
// ids: a store has one size. What a young receipt keeps goes uncounted, so that no other archive
// goes in its place.
func (d *decision) cap() {
	var kept []*entry
	var bytes int64
	for _, e := range slices.Backward(d.entries) {
		if e.decided && e.kept {
			kept = append(kept, e)
			bytes += max(0, e.Bytes)
		}
	}
	count := len(kept)
	over := func() string { return d.Policy.over(count, bytes) }
	if over() == "" {
		return
	}
	if !d.ListsAgree {
		d.warn("%d archives of %d bytes are kept, %s; the caps remove nothing, since two lists did not agree", count, bytes, over())
		return
	}
	for _, e := range kept {
		reason := over()
		if reason == "" || e.bound {
			continue
		}
		e.kept = false
		e.note(reason)
		count--
		bytes -= max(0, e.Bytes)
	}
	if reason := over(); reason != "" {
		d.warn("%d archives of %d bytes are kept, %s; none of them may go", count, bytes, reason)
	}
}

// over names the cap that so much goes over, or is "".
func (p Policy) over(count int, bytes int64) string {
	switch {
	case p.MaxCount > 0 && count > p.MaxCount:
		return "over max-count " + number(p.MaxCount)
	case p.MaxBytes > 0 && bytes > p.MaxBytes:
		return "over max-bytes " + number(p.MaxBytes)
	}
	return ""
}
