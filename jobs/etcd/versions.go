package etcd

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Harm is what a known bug of etcd does to whom defragments, or looks whether to.
type Harm string

// The harms.
const (
	Corrupts   Harm = "corrupts"    // data, in a defragmentation
	Crashes    Harm = "crashes"     // the member, in a defragmentation
	QuotaWrong Harm = "quota-wrong" // Status tells another quota than is in force
)

// Trouble is a bug that a version of etcd is known to have.
type Trouble struct {
	Harm   Harm
	What   string // it does, and when
	From   string // the first version that has it, with its pre-releases; "" is any
	Before string // the first version that is rid of it
	Issue  string // where it is told of, in etcd-io/etcd
}

// Refuses says whether a member with this trouble must not be defragmented, unless forced.
func (t Trouble) Refuses() bool { return t.Harm == Corrupts || t.Harm == Crashes }

// String is one line for whom it concerns.
func (t Trouble) String() string {
	return fmt.Sprintf("etcd before %s: %s (etcd-io/etcd %s)", t.Before, t.What, t.Issue)
}

// troubles are from the change logs of etcd 3.5 and 3.6, which name these pull requests and the
// versions that have them; 3.7 began with all of them mended.
var troubles = []Trouble{
	{Corrupts, "a member that ends in the middle of a defragmentation applies entries twice, and its revisions are not the others' any more", "", "3.5.6", "#14733"},
	{Crashes, "a disk that is full in the middle of a defragmentation ends the member", "", "3.5.17", "#18810, #18842"},
	{Corrupts, "a defragmentation while a snapshot of the leader is applied can corrupt the member's data", "", "3.5.23", "#20653"},
	{Corrupts, "a defragmentation while a snapshot of the leader is applied can corrupt the member's data", "3.6.0", "3.6.5", "#20650"},
	{QuotaWrong, "Status tells a quota of 0 where the default is in force", "3.6.0", "3.6.6", "#20790"},
}

// Known lists the troubles of a version, as Status tells it. A pre-release (-alpha, -beta, -rc,
// -pre) comes before its release; other words after the number, such as a vendor's, count for
// nothing. A version that cannot be read has all troubles: it is not known to lack any.
func Known(version string) []Trouble {
	v, ok := parseVersion(version)
	if !ok {
		return slices.Clone(troubles)
	}
	var out []Trouble
	for _, t := range troubles {
		from, _ := parseVersion(cmp.Or(t.From, "0.0.0") + "-pre")
		before, _ := parseVersion(t.Before)
		if slices.Compare(v, from) >= 0 && slices.Compare(v, before) < 0 {
			out = append(out, t)
		}
	}
	return out
}

// parseVersion returns major, minor, patch, and 1, or 0 for a pre-release of it.
func parseVersion(text string) ([]int, bool) {
	number, word := text, ""
	if i := strings.IndexAny(text, "-+"); i >= 0 {
		number, word = text[:i], text[i+1:]
	}
	var out []int
	for _, part := range strings.Split(strings.TrimPrefix(number, "v"), ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, false
		}
		out = append(out, int(n))
	}
	released := 1
	for _, pre := range []string{"alpha", "beta", "rc", "pre"} {
		if strings.HasPrefix(word, pre) {
			released = 0
		}
	}
	return append(out, released), len(out) == 3
}

// EffectiveQuota is the quota of the member in bytes: by its own metrics, which may be zero where
// they could not be read; else by s, unless its version is known to tell it wrong. 0 means that
// it is not known, less that there is none.
func (s Status) EffectiveQuota(m Metrics) int64 {
	wrong := slices.ContainsFunc(Known(s.Version), func(t Trouble) bool { return t.Harm == QuotaWrong })
	switch {
	case m.Quota != 0:
		return m.Quota
	case wrong:
		return 0
	}
	return s.Quota
}
