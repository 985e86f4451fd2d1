package rule

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Numbers are a member's sizes in bytes. Zero or less is unknown: an etcd too old to tell what
// is in use says 0, and would else seem to be all free.
type Numbers struct{ Size, InUse, Quota int64 }

// variables are all names, in the order in which a reader wants them.
var variables = [...]struct {
	name  string
	bytes bool
	of    func(n Numbers) (v float64, known bool)
}{
	{"dbSize", true, func(n Numbers) (float64, bool) { return float64(n.Size), n.Size > 0 }},
	{"dbSizeInUse", true, func(n Numbers) (float64, bool) { return float64(n.InUse), n.InUse > 0 }},
	{"dbSizeFree", true, func(n Numbers) (float64, bool) { return n.free(), n.Size > 0 && n.InUse > 0 }},
	{"fragmentation", false, func(n Numbers) (float64, bool) { return n.free() / float64(n.Size), n.Size > 0 && n.InUse > 0 }},
	{"dbQuota", true, func(n Numbers) (float64, bool) { return float64(n.Quota), n.Quota > 0 }},
	{"dbQuotaUsage", false, func(n Numbers) (float64, bool) {
		return float64(n.Size) / float64(n.Quota), n.Size > 0 && n.Quota > 0
	}},
}

// free is never below 0: etcd reads its two sizes an instant apart, and what is in use may be
// the newer one.
func (n Numbers) free() float64 { return max(0, float64(n.Size)-float64(n.InUse)) }

func (n Numbers) value(name string) (v float64, known bool) {
	for _, variable := range variables {
		if variable.name == name {
			return variable.of(n)
		}
	}
	return 0, false
}

// Explain gives the numbers that a decision went by, those that the rule uses, on one line:
//
//	dbSizeFree=63 MiB fragmentation=0.605 dbQuotaUsage=0.05
//
// They are cut off, never rounded up, so that a fragmentation of 0.4999 does not read as the
// 0.5 that the rule asked for.
func (r Rule) Explain(n Numbers) string {
	var parts []string
	for _, variable := range variables {
		if r.Uses(variable.name) {
			parts = append(parts, variable.name+"="+n.text(variable.name, variable.bytes))
		}
	}
	return strings.Join(parts, " ")
}

func (n Numbers) text(name string, bytes bool) string {
	v, known := n.value(name)
	switch {
	case !known:
		return "unknown"
	case !bytes:
		return cut(v, 1000)
	case v < 1<<20:
		return cut(v/(1<<10), 10) + " KiB"
	default:
		return cut(v/(1<<20), 10) + " MiB"
	}
}

// cut cuts v off at one part in parts. What is added is less than such a part by far: it makes
// up for 0.29*100 being 28.999999999999996, and not for a byte of a gigabyte.
func cut(v, parts float64) string {
	return strconv.FormatFloat(math.Floor(v*parts+1e-9)/parts, 'f', -1, 64)
}

// known lists all names, for who used another.
func known() string {
	var names []string
	for _, variable := range variables {
		names = append(names, variable.name)
	}
	return fmt.Sprintf("%s and %s", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}
