package data

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"
)

// noise draws what looks random in a cluster: ids, hashes, times, words.
type noise struct{ *rand.Rand }

// kubeLetters are those that Kubernetes ends generated names with.
const kubeLetters = "bcdfghjklmnpqrstvwxz2456789"

func pick[T any](n noise, from []T) T { return from[n.IntN(len(from))] }

func (n noise) bytes(size int) []byte {
	b := make([]byte, 0, size+8)
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, n.Uint64())
	}
	return b[:size]
}

func (n noise) hex(digits int) string { return hex.EncodeToString(n.bytes((digits + 1) / 2))[:digits] }

func (n noise) uid() string {
	h := n.hex(32)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (n noise) digest() string { return "sha256:" + n.hex(64) }

func (n noise) base64(size int) string { return base64.StdEncoding.EncodeToString(n.bytes(size)) }

func (n noise) letters(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = kubeLetters[n.IntN(len(kubeLetters))]
	}
	return string(b)
}

// suffix is five letters that no other index below 27^5 has.
func suffix(index uint64) string {
	const all = 27 * 27 * 27 * 27 * 27
	left := index % all * 5_000_011 % all // prime to 27, so it is a permutation
	b := make([]byte, 5)
	for i := range b {
		b[i] = kubeLetters[left%27]
		left /= 27
	}
	return string(b)
}

// seconds is a time in the year before the data was first made.
func (n noise) seconds() uint64 { return 1_735_689_600 + n.Uint64N(365*24*3600) }

func stamp(seconds uint64) string { return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339) }

func (n noise) ip() string {
	return "10." + number(n.IntN(64)) + "." + number(n.IntN(256)) + "." + number(1+n.IntN(254))
}

// sentence has a few words of the vocabulary.
func (n noise) sentence(words int) string {
	var s strings.Builder
	for i := range words {
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(pick(n, vocabulary))
	}
	return s.String()
}
