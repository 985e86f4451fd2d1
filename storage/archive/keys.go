package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// ErrBadKey marks text that is no usable recipient or identity. It never holds the text of an
// identity.
var ErrBadKey = errors.New("unusable key")

func ageCodecs() []string { return []string{"zstd", "age"} }

func plainCodecs() []string { return []string{"zstd"} }

// Recipients says to whom an archive is sealed. The zero value seals to nobody and is refused.
type Recipients struct {
	list         []age.Recipient
	fingerprints []string
	plain        bool
}

// Plaintext seals without encryption.
func Plaintext() Recipients { return Recipients{plain: true} }

// Codecs names the layers of an archive sealed to r, innermost first.
func (r Recipients) Codecs() []string {
	if r.plain {
		return plainCodecs()
	}
	return ageCodecs()
}

// Fingerprints tells the recipients apart without naming them: the kind, and the first 16 hex
// digits of the SHA-256 of the recipient's text without its comment.
func (r Recipients) Fingerprints() []string { return slices.Clone(r.fingerprints) }

// ParseRecipients reads recipients, one each: age X25519 (age1…), age post-quantum (age1pq1…)
// or SSH (ssh-ed25519, ssh-rsa). Post-quantum and classic ones cannot be mixed: age refuses to
// let one archive promise both. The error wraps ErrBadKey.
func ParseRecipients(texts []string) (Recipients, error) {
	var out Recipients
	for _, text := range texts {
		rec, err := parseRecipient(text)
		if err != nil {
			return Recipients{}, fmt.Errorf("recipient %s: %w: %w", excerpt(text), err, ErrBadKey)
		}
		out.list = append(out.list, rec)
		out.fingerprints = append(out.fingerprints, Fingerprint(text))
	}
	if len(out.list) == 0 {
		return Recipients{}, fmt.Errorf("no recipient: %w", ErrBadKey)
	}
	if _, err := age.Encrypt(io.Discard, out.list...); err != nil {
		return Recipients{}, fmt.Errorf("recipients %s do not go together, post-quantum and classic ones cannot be mixed: %w",
			strings.Join(out.fingerprints, ", "), ErrBadKey)
	}
	return out, nil
}

func parseRecipient(text string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(text, "ssh-"):
		return agessh.ParseRecipient(text)
	case strings.HasPrefix(text, "age1pq1"):
		return age.ParseHybridRecipient(text)
	case isIdentity(text):
		return nil, errors.New("this is an identity, a secret, not a recipient")
	case !strings.HasPrefix(text, "age1"):
		return nil, errors.New("neither age1…, age1pq1… nor ssh-…")
	}
	rec, err := age.ParseX25519Recipient(text)
	if err != nil {
		return nil, errors.New("not a whole X25519 recipient") // age's text quotes it
	}
	return rec, nil
}

// excerpt quotes enough of a recipient to find it, and nothing of an identity.
func excerpt(text string) string {
	const most = 20
	if isIdentity(text) {
		return "[redacted]"
	}
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

func isIdentity(text string) bool {
	return strings.Contains(strings.ToUpper(text), "AGE-SECRET-KEY-") || strings.Contains(text, "PRIVATE KEY")
}

// Fingerprint is a recipient's short public name; see Recipients.Fingerprints.
func Fingerprint(recipient string) string {
	kind := "x25519"
	if strings.HasPrefix(recipient, "age1pq1") {
		kind = "mlkem768x25519"
	}
	if fields := strings.Fields(recipient); strings.HasPrefix(recipient, "ssh-") && len(fields) >= 2 {
		kind, recipient = fields[0], fields[0]+" "+fields[1]
	}
	sum := sha256.Sum256([]byte(recipient))
	return kind + ":" + hex.EncodeToString(sum[:8])
}

// RecipientLines returns the recipients of a file: a line each, empty ones and those that
// begin with # left out.
func RecipientLines(file []byte) []string {
	var out []string
	for line := range strings.Lines(string(file)) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			out = append(out, text)
		}
	}
	return out
}

// Identities opens archives. It never prints itself.
type Identities struct {
	list []age.Identity
}

// String and LogValue keep keys out of text and logs.
func (Identities) String() string { return "[redacted]" }

// GoString serves %#v.
func (Identities) GoString() string { return "[redacted]" }

// LogValue serves slog.
func (Identities) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// ParseIdentities reads a file of age identities (AGE-SECRET-KEY-1…, AGE-SECRET-KEY-PQ-1…, a
// line each, # begins a comment) or one SSH private key without a passphrase. The error wraps
// ErrBadKey and holds nothing of the file.
func ParseIdentities(file []byte) (Identities, error) {
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("-----BEGIN")) {
		id, err := agessh.ParseIdentity(file)
		if err != nil {
			return Identities{}, fmt.Errorf("SSH key is not a private ed25519 or RSA key without passphrase: %w", ErrBadKey)
		}
		return Identities{list: []age.Identity{id}}, nil
	}
	list, err := age.ParseIdentities(bytes.NewReader(file))
	if err != nil {
		// age's own text quotes the line it did not understand.
		return Identities{}, fmt.Errorf("not a file of age identities: %w", ErrBadKey)
	}
	return Identities{list: list}, nil
}

// GenerateIdentity makes a new X25519 identity, or a post-quantum one, and its recipient.
func GenerateIdentity(postQuantum bool) (identity, recipient string, err error) {
	if postQuantum {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return "", "", fmt.Errorf("make identity: %w", err)
		}
		return id.String(), id.Recipient().String(), nil
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("make identity: %w", err)
	}
	return id.String(), id.Recipient().String(), nil
}
