package settings

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Endpoints are client addresses of etcd, with a scheme or without one. None holds a user.
type Endpoints []string

// String joins the addresses with commas.
func (e Endpoints) String() string {
	return strings.Join(e, ",")
}

func parseEndpoints(g given, before Endpoints) (Endpoints, error) {
	items, err := g.each()
	out := slices.Clone(before)
	for _, item := range items {
		if err := checkEndpoint(item); err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, err
}

// checkEndpoint asks for a port, since etcd's client knows no default one.
func checkEndpoint(s string) error {
	shown := s
	if strings.Contains(s, "@") {
		shown = maskURL(s)
	}
	if quoted(s) {
		return quotesIn(shown)
	}
	if at := space(s); at > 0 {
		return spaceAt(at, shown)
	}
	full := s
	if !strings.Contains(s, "://") {
		full = "http://" + s
	}
	u, err := url.Parse(full)
	switch {
	case strings.Contains(s, "@"):
		return fmt.Errorf("%q holds a user: give it by --user and --password-file", shown)
	case err != nil || !reachable(u):
		return fmt.Errorf("%q is not an address such as 10.0.0.1:2379 or https://etcd-0:2379", shown)
	}
	return nil
}

func reachable(u *url.URL) bool {
	switch u.Scheme {
	case "http", "https":
		return u.Hostname() != "" && u.Port() != "" && strings.Trim(u.Path, "/") == "" && u.RawQuery == ""
	}
	return false
}
