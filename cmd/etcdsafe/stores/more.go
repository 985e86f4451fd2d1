package stores

import (
	"context"
	"encoding/json"

	"cloud.google.com/go/storage"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// gsMore is what Google's store can tell beyond gocloud's interface.
type gsMore struct {
	client *storage.Client
	bucket string
}

func (m gsMore) addTo(k *bucket.Kind, credentials []byte) {
	k.Versioned, k.Facts = m.versioned, m.facts
	var account struct {
		Email string `json:"client_email"`
	}
	if json.Unmarshal(credentials, &account) == nil && account.Email != "" {
		k.Identity = shortHash(account.Email)
	}
}

func (m gsMore) versioned(ctx context.Context) bool {
	about, err := m.client.Bucket(m.bucket).Attrs(ctx)
	return err == nil && (about.VersioningEnabled || about.SoftDeletePolicy != nil && about.SoftDeletePolicy.RetentionDuration > 0)
}

// facts asks what the bucket is set up to do. It changes nothing.
func (m gsMore) facts(ctx context.Context) []bucket.Fact {
	about, err := m.client.Bucket(m.bucket).Attrs(ctx)
	if err != nil {
		return []bucket.Fact{{Name: "versioning", Value: "not known: " + reason(err)}}
	}
	f := bucket.Fact{Name: "versioning", Value: "off"}
	if about.VersioningEnabled {
		f.Value = "on: what is removed is hidden, not freed"
		if !expiresNoncurrent(about.Lifecycle) {
			f.Advice = "a lifecycle rule that deletes noncurrent versions, so that removed archives are freed"
		}
	}
	out := []bucket.Fact{f}
	if p := about.SoftDeletePolicy; p != nil && p.RetentionDuration > 0 {
		out = append(out, bucket.Fact{Name: "soft delete", Value: "on: what is removed is kept for " + p.RetentionDuration.String()})
	}
	if p := about.RetentionPolicy; p != nil {
		out = append(out, bucket.Fact{Name: "retention", Value: "objects cannot be removed for " + p.RetentionPeriod.String()})
	}
	return out
}

func expiresNoncurrent(rules storage.Lifecycle) bool {
	for _, r := range rules.Rules {
		if r.Action.Type == storage.DeleteAction && (r.Condition.NumNewerVersions > 0 || r.Condition.DaysSinceNoncurrentTime > 0 || r.Condition.Liveness == storage.Archived) {
			return true
		}
	}
	return false
}
