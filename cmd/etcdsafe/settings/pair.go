package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Subset is part N of Of, counted from 1.
type Subset struct{ N, Of int }

// Owner is whom files are given to.
type Owner struct{ UID, GID int }

func parseSubset(g given) (Subset, error) {
	s, err := g.word()
	if err != nil {
		return Subset{}, err
	}
	n, of, ok := pair(s, "/")
	if !ok || n < 1 || of < n {
		return Subset{}, fmt.Errorf("%q is not a part of a whole such as 1/7", s)
	}
	return Subset{N: n, Of: of}, nil
}

func parseOwner(g given) (Owner, error) {
	s, err := g.word()
	if err != nil {
		return Owner{}, err
	}
	uid, gid, ok := pair(s, ":")
	if !ok {
		return Owner{}, fmt.Errorf("%q is not uid:gid in numbers such as 1000:1000", s)
	}
	return Owner{UID: uid, GID: gid}, nil
}

// pair reads two numbers. The largest of 32 bits is left out: to chown it means "leave as it is".
func pair(s, between string) (a, b int, ok bool) {
	left, right, ok := strings.Cut(s, between)
	x, errX := strconv.ParseUint(left, 10, 32)
	y, errY := strconv.ParseUint(right, 10, 32)
	ok = ok && errX == nil && errY == nil && max(x, y) < math.MaxUint32
	return int(x), int(y), ok
}

func parseTime(g given) (time.Time, error) {
	s, err := g.word()
	if err != nil {
		return time.Time{}, err
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day.AddDate(0, 0, 1).Add(-time.Second), nil // its end, in UTC
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time such as 2026-01-02T15:04:05Z, nor a date such as 2026-01-02", s)
	}
	return t, nil
}
