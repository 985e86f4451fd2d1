package bucket

import (
	"net/url"
	"strings"
)

const hidden = "redacted"

// Redact returns rawURL without what would let its reader in: the user part, the fragment, and
// the value of every query parameter that is not known to be harmless. What cannot be parsed
// keeps its scheme alone. The result is for people to read, not for opening.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return redactUnreadable(rawURL)
	}
	safe := u.Scheme + "://" + redactPlace(u)
	if query := redactQuery(u.RawQuery); query != "" {
		safe += "?" + query
	}
	return safe
}

// redactUnreadable keeps a URL's scheme if it is one.
func redactUnreadable(rawURL string) string {
	scheme, _, found := strings.Cut(rawURL, "://")
	if !found || scheme == "" || schemeBefore(scheme) != scheme {
		return hidden
	}
	return scheme + "://" + hidden
}

// redactPlace returns host and path. A secret key may hold a slash, and then the user part ends
// in what the parser takes for the path; only a folder's name may have an @ in earnest.
func redactPlace(u *url.URL) string {
	place := u.Host + u.EscapedPath()
	if u.Scheme == "file" {
		return place
	}
	return afterUser(place)
}

func afterUser(place string) string {
	return place[strings.LastIndex(place, "@")+1:]
}

// paramKind says how much of a query parameter may be shown.
type paramKind int

const (
	paramSecret  paramKind = iota // the name
	paramPlain                    // name and value
	paramAddress                  // the value too, but for a user part in it
)

// params are the parameters of our URLs, and those that gocloud's drivers and its URLMux know, less
// those that name a person or a key. What is not here is taken for a secret.
var params = map[string]paramKind{
	"prefix": paramPlain, "create_dir": paramPlain,
	"path_style": paramPlain, "ca": paramPlain, "checksum": paramPlain, "sse": paramPlain, "retain": paramPlain,
	// s3
	"region": paramPlain, "profile": paramPlain, "dualstack": paramPlain, "fips": paramPlain,
	"rate_limiter_capacity": paramPlain, "anonymous": paramPlain, "role": paramPlain,
	"request_checksum_calculation": paramPlain, "response_checksum_validation": paramPlain,
	"awssdk": paramPlain, "hostname_immutable": paramPlain, "accelerate": paramPlain,
	"use_path_style": paramPlain, "s3ForcePathStyle": paramPlain, "disable_https": paramPlain,
	"ssetype": paramPlain, "kmskeyid": paramPlain, "endpoint": paramAddress,
	// gs
	"universe_domain": paramAddress, "grpc": paramPlain, "zonal": paramPlain,
	// azblob
	"domain": paramAddress, "protocol": paramPlain, "cdn": paramPlain, "localemu": paramPlain,
	"storage_account": paramPlain,
}

// Harmless says whether the value of a store URL's query parameter may be shown to anybody.
func Harmless(param string) bool { return params[param] != paramSecret }

// redactQuery keeps the order and the spelling of what may be shown. A part without a value is
// dropped: it may be a secret that stands alone.
func redactQuery(rawQuery string) string {
	var safe []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" {
			continue
		}
		safe = append(safe, name+"="+redactValue(params[name], value))
	}
	return strings.Join(safe, "&")
}

func redactValue(kind paramKind, value string) string {
	switch {
	case strings.Contains(value, ";"): // once it parted parameters; one could hide behind it
		return hidden
	case kind == paramPlain:
		return value
	case kind == paramAddress:
		return redactAddress(value)
	}
	return hidden
}

// redactAddress takes a query's value that is a URL, or a host.
func redactAddress(value string) string {
	plain, err := url.QueryUnescape(value)
	if err != nil {
		return hidden
	}
	safe := afterUser(plain)
	if strings.Contains(plain, "://") {
		safe = Redact(plain)
	}
	if safe == plain {
		return value
	}
	return strings.NewReplacer("%3A", ":", "%2F", "/").Replace(url.QueryEscape(safe))
}
