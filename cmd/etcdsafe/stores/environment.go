package stores

import (
	"slices"
	"strings"
)

// prefixes begin the names of the variables that the clouds' clients read.
var prefixes = []string{"AWS_", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_"}

// Clean trims what slips of the shell, `docker --env-file` and base64 leave around the values of
// the clouds' variables: white space, line breaks, and a pair of quotes. The clouds' own clients
// take them for part of a key and answer that the signature does not match. set is os.Setenv.
func Clean(environ []string, set func(name, value string) error) error {
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		clean := unquoted(strings.TrimSpace(value))
		if clean == value {
			continue
		}
		if err := set(name, clean); err != nil {
			return err
		}
	}
	return nil
}

func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}
