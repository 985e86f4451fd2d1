package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// listTable prints a line for each archive, and below it what some store lacks.
func (c *cli) listTable(t *table, all []*listed, views []view) {
	heard := 0
	for _, v := range views {
		if v.heard {
			heard++
		}
	}
	long := c.set.List.Long.Get()
	middle := []any{"RECEIPT"}
	if long {
		middle = []any{"KEYS", "DATABASE", "STORED", "HASHKV", "VERIFIED"}
	}
	line := func(id, age, revision any, middle []any, rest ...any) {
		t.row(append(append([]any{id, age, revision}, middle...), rest...)...)
	}
	line("ID", "AGE", "REVISION", middle, "HELD", "STORES", "FLAGS")
	for _, l := range all {
		middle := []any{receiptText(l.Receipt, c.now())}
		if long {
			middle = l.columns()
		}
		line(l.ID, age(c.now().Sub(l.Taken)), l.Revision, middle, map[bool]string{true: "held", false: "-"}[l.Held],
			fmt.Sprintf("%d/%d", len(l.Stores), heard), cmp.Or(strings.Join(l.Flags, ","), "-"))
	}
	for _, v := range views {
		lackText(t, all, v)
	}
}

func receiptText(r *listedReceipt, now time.Time) string {
	if r == nil {
		return "-"
	}
	text := string(r.Level) + " " + age(now.Sub(r.Written))
	if r.Failed != "" {
		return "FAILED " + text
	}
	return text
}

// columns are those of --long.
func (l *listed) columns() []any {
	if l.read == nil {
		return []any{"-", "-", "-", "-", "-"}
	}
	return []any{keys(l.Keys), size(l.DBBytes), size(l.Bytes), cmp.Or(string(l.HashKV), "-"), verifiedText(l.Verified, l.Key)}
}

// verifiedText tells what was proven by the run's own key apart from what a lasting key opened.
func verifiedText(level catalog.Level, key string) string {
	if key == catalog.KeyRun {
		return string(level) + " (run)"
	}
	return cmp.Or(string(level), "-")
}

// namedLacks is how many archives are named of those that a store lacks.
const namedLacks = 5

// lackText tells what archives a store lacks, and of which it lacks the hold; or that it could not say.
func lackText(t *table, all []*listed, v view) {
	if !v.heard {
		t.line("%s: what it holds is not known: %s", v.url, jobs.OneLine(v.err))
		return
	}
	var lacks, free []string
	for _, l := range all {
		switch {
		case slices.Contains(l.Lacking, v.url):
			lacks = append(lacks, string(l.ID))
		case l.Held && !slices.Contains(l.HeldIn, v.url):
			free = append(free, string(l.ID))
		}
	}
	if len(lacks) > 0 {
		t.line("%s lacks %d of %d: %s", v.url, len(lacks), len(all), firstOf(lacks))
	}
	if len(free) > 0 {
		t.line("%s lacks the hold of %d: %s", v.url, len(free), firstOf(free))
	}
}

func firstOf(ids []string) string {
	more := ""
	if len(ids) > namedLacks {
		more = fmt.Sprintf(" and %d older", len(ids)-namedLacks)
	}
	return strings.Join(ids[:min(len(ids), namedLacks)], " ") + more
}
