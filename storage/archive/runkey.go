package archive

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"

	"filippo.io/age"
)

// A RunKey keeps the file key of the last archive that was sealed with it, so that who sealed it can open it
// again without an identity: the archive is the same as without. The key stands in this process's
// memory alone. The zero value opens nothing. It may be used by several goroutines, and never prints itself.
type RunKey struct {
	mu      sync.Mutex
	fileKey []byte
	stanzas []*age.Stanza // those of the first recipient: what tells the archive apart
}

// String, GoString and LogValue keep the key out of text and logs.
func (*RunKey) String() string { return "[redacted]" }

// GoString serves %#v.
func (*RunKey) GoString() string { return "[redacted]" }

// LogValue serves slog.
func (*RunKey) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Keep returns recipients like r, whose sealing leaves its file key in k. Without encryption there is none.
func (r Recipients) Keep(k *RunKey) Recipients {
	if len(r.list) > 0 {
		r.list = slices.Clone(r.list)
		r.list[0] = keeper{r.list[0], k}
	}
	return r
}

// Identities opens what was sealed with k last, and nothing else: of another archive it says ErrKey.
func (k *RunKey) Identities() Identities { return Identities{list: []age.Identity{k}} }

// Wipe forgets the key.
func (k *RunKey) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.fileKey)
	k.fileKey, k.stanzas = nil, nil
}

// Unwrap is age.Identity's.
func (k *RunKey) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, mine := range k.stanzas {
		if !slices.ContainsFunc(stanzas, func(s *age.Stanza) bool {
			return s.Type == mine.Type && slices.Equal(s.Args, mine.Args) && bytes.Equal(s.Body, mine.Body)
		}) {
			return nil, age.ErrIncorrectIdentity
		}
	}
	if k.fileKey == nil {
		return nil, age.ErrIncorrectIdentity
	}
	return bytes.Clone(k.fileKey), nil
}

// keeper is a recipient that leaves the file key with key.
type keeper struct {
	age.Recipient
	key *RunKey
}

// Wrap is age.Recipient's.
func (k keeper) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	stanzas, _, err := k.WrapWithLabels(fileKey)
	return stanzas, err
}

// WrapWithLabels is age.RecipientWithLabels': age asks for it so that post-quantum recipients stay among
// themselves.
func (k keeper) WrapWithLabels(fileKey []byte) (stanzas []*age.Stanza, labels []string, err error) {
	if r, ok := k.Recipient.(age.RecipientWithLabels); ok {
		stanzas, labels, err = r.WrapWithLabels(fileKey)
	} else {
		stanzas, err = k.Recipient.Wrap(fileKey)
	}
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // of age, to age
	}
	k.key.mu.Lock()
	defer k.key.mu.Unlock()
	k.key.fileKey, k.key.stanzas = bytes.Clone(fileKey), stanzas
	return stanzas, labels, nil
}
