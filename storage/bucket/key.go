package bucket

import (
	"errors"
	"fmt"
	"strings"
)

// partPrefix begins the names of files that are still being written. No key has a segment that
// begins so, and no listing shows one.
const partPrefix = ".part-"

var errBadKey = errors.New("key needs segments of A-Z a-z 0-9 . _ - between single slashes")

// CheckKey refuses what is not safe as a key of every store and as a path below a folder: no
// empty segment, no "." or "..", nothing outside the alphabet, no name of an unfinished file.
func CheckKey(key string) error {
	for segment := range strings.SplitSeq(key, "/") {
		if !safeSegment(segment) {
			return fmt.Errorf("%w, not %q", errBadKey, key)
		}
	}
	return nil
}

// checkPrefix refuses a prefix that no key can have for the sake of its folders. What follows
// the last slash may be anything.
func checkPrefix(prefix string) error {
	i := strings.LastIndex(prefix, "/")
	if i < 0 {
		return nil
	}
	return CheckKey(prefix[:i])
}

func safeSegment(s string) bool {
	if s == "" || s == "." || s == ".." || strings.HasPrefix(s, partPrefix) {
		return false
	}
	return strings.IndexFunc(s, unsafeRune) < 0
}

func unsafeRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return r != '.' && r != '_' && r != '-'
}
