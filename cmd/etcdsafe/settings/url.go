package settings

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// URL is an address that may hold a user and a password; nothing prints those but Full.
type URL struct{ full *string }

// URLs is a list of them.
type URLs []URL

// Full returns the whole URL, secrets and all: for the one who opens it, never for a message.
func (u URL) Full() string {
	if u.full == nil {
		return ""
	}
	return *u.full
}

// String returns the URL with its secrets masked, as do all the others.
func (u URL) String() string { return maskURL(u.Full()) }

// Format masks too, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.String())) }

// LogValue masks too.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText masks too, and is what JSON uses.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// String joins the masked URLs with commas.
func (u URLs) String() string {
	var all []string
	for _, one := range u {
		all = append(all, one.String())
	}
	return strings.Join(all, ",")
}

func parseURLs(g given, before URLs) (URLs, error) {
	items, err := g.each()
	out := slices.Clone(before)
	for _, item := range items {
		if err := checkURL(item); err != nil {
			return nil, err
		}
		out = append(out, URL{full: &item})
	}
	return out, err
}

func checkURL(s string) error {
	if quoted(s) {
		return quotesIn(maskURL(s))
	}
	if at := space(s); at > 0 {
		return spaceAt(at, maskURL(s))
	}
	// The parser's own errors quote what may be a password.
	if _, err := url.Parse(s); err != nil || !strings.Contains(s, "://") {
		return fmt.Errorf("%q is not a URL such as s3://bucket/prefix", maskURL(s))
	}
	return nil
}

// maskURL hides what may be secret in s: whatever stands before an @, the values of query keys that are not known to be
// harmless, and all but the scheme where s is no URL. It over-masks rather than trust a parser on text that is malformed.
func maskURL(s string) string {
	scheme, rest := "", s
	if i := strings.Index(s, "://"); i >= 0 {
		scheme, rest = s[:i+3], s[i+3:]
	}
	if !strings.ContainsAny(rest, "@:?") {
		return s
	}
	if _, err := url.Parse(s); err != nil || scheme == "" {
		return scheme + redacted
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = redacted + rest[i:]
	}
	return scheme + maskQuery(rest)
}

func maskQuery(s string) string {
	head, query, found := strings.Cut(s, "?")
	if !found {
		return s
	}
	parts := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, p := range parts {
		key, _, _ := strings.Cut(p, "=")
		if !bucket.Harmless(key) {
			parts[i] = key + "=" + redacted
		}
	}
	return head + "?" + strings.Join(parts, "&")
}
