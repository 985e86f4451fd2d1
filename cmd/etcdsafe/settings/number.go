package settings

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Bytes is a size.
type Bytes int64

var (
	errNegative = errors.New("must not be negative")
	errZero     = errors.New("must be more than 0")

	// quantity is what ParseQuantity is asked to read: it works for minutes on 1e999999999, and wraps round past 20 digits.
	quantity = regexp.MustCompile(`^[+-]?[0-9.]{1,20}([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`)

	days = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)d([0-9].*)?$`)
)

func parseBool(g given) (bool, error) {
	s, err := g.word(boolean)
	if err != nil {
		return false, err
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return v, nil
}

// parseInt takes -1 for no limit where there may be none.
func parseInt(g given, positive, unlimited bool) (int64, error) {
	s, err := g.word(number)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number such as 3", s)
	}
	if v == -1 && unlimited {
		return v, nil
	}
	return v, counts(v, positive)
}

// counts refuses what is less than nothing, or nothing where something is wanted.
func counts(v int64, positive bool) error {
	switch {
	case v < 0:
		return errNegative
	case v == 0 && positive:
		return errZero
	}
	return nil
}

func parseBytes(g given) (Bytes, error) {
	s, err := g.word(number)
	if err != nil {
		return 0, err
	}
	if !quantity.MatchString(s) {
		return 0, notSize(s)
	}
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0, notSize(s)
	}
	return whole(q, s)
}

func notSize(s string) error {
	return fmt.Errorf("%q is not a size such as 512Mi, 2G or 1048576", s)
}

// whole is q in bytes. ParseQuantity caps what is too large at MaxInt64, and Value rounds up or wraps round.
func whole(q resource.Quantity, s string) (Bytes, error) {
	v := q.Value()
	switch {
	case q.Sign() < 0:
		return 0, errNegative
	case v == math.MaxInt64 || q.CmpInt64(math.MaxInt64) > 0:
		return 0, fmt.Errorf("%q is too large", s)
	case q.CmpInt64(v) != 0:
		return 0, fmt.Errorf("%q is not a whole number of bytes", s)
	}
	return Bytes(v), nil
}

func parseDuration(g given, positive bool) (time.Duration, error) {
	s, err := g.word(number)
	if err != nil {
		return 0, err
	}
	d, err := duration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 90s, 2h or 7d", s)
	}
	return d, counts(int64(d), positive)
}

// Duration reads s as settings are read: Go's syntax, with days before it.
func Duration(s string) (time.Duration, error) { return duration(s) }

// duration is Go's syntax with days before it.
func duration(s string) (time.Duration, error) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		return time.ParseDuration(s)
	}
	d, err := time.ParseDuration(m[1] + "h")
	if err != nil || d > math.MaxInt64/24 {
		return 0, errors.New("out of range")
	}
	rest, err := time.ParseDuration(cmp.Or(m[2], "0"))
	if err != nil || rest > math.MaxInt64-24*d {
		return 0, errors.New("out of range")
	}
	return 24*d + rest, nil
}
