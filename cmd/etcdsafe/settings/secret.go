package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"unicode"
)

const redacted = "[redacted]"

// Secret is a text that nothing prints. It stands behind a pointer, since fmt looks into unexported fields of whatever
// holds it and asks no method there.
type Secret struct{ text *string }

// Reveal returns the text, or "" where there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String says [redacted], as do all the others.
func (s Secret) String() string { return redacted }

// GoString says [redacted].
func (s Secret) GoString() string { return redacted }

// Format says [redacted], whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue says [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON says [redacted].
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// ReadSecret returns what the file at path holds, without the line break that `echo` leaves. No error holds any of it.
func ReadSecret(path Path, readFile func(string) ([]byte, error)) (Secret, error) {
	raw, err := readFile(string(path))
	if err != nil {
		return Secret{}, fmt.Errorf("read %q: %w", path, unpathed(err))
	}
	secret, err := newSecret(string(raw))
	if err != nil {
		return Secret{}, fmt.Errorf("secret in %q: %w", path, err)
	}
	return secret, nil
}

// ReadPassword returns the password of the etcd user, from its file where one is set. There may be none.
func (e *Etcd) ReadPassword(readFile func(string) ([]byte, error)) (Secret, error) {
	path := e.PasswordFile.Get()
	if path == "" {
		return e.Password.Get(), nil
	}
	secret, err := ReadSecret(path, readFile)
	if err != nil {
		return Secret{}, e.PasswordFile.Errorf("%w", err)
	}
	return secret, nil
}

func parseSecret(g given) (Secret, error) {
	s, err := g.single()
	if err != nil {
		return Secret{}, err
	}
	return newSecret(s)
}

// newSecret refuses white space: it is what a slip of the shell leaves (`echo … -n`), and etcd's answer to it would be
// "authentication failed".
func newSecret(s string) (Secret, error) {
	s = strings.TrimRight(s, "\r\n")
	if s == "" {
		return Secret{}, errors.New("is empty")
	}
	if i := strings.IndexFunc(s, unicode.IsSpace); i >= 0 {
		return Secret{}, fmt.Errorf("contains whitespace at position %d", len([]rune(s[:i]))+1)
	}
	return Secret{text: &s}, nil
}

// unpathed drops the path from an error that is about to name it, in quotes, itself.
func unpathed(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
