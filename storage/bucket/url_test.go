package bucket_test

import (
	"strings"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// TestAURLKeepsItsSecrets spells every secret with "zzz", so that no form of one can slip by.
func TestAURLKeepsItsSecrets(t *testing.T) {
	tests := []struct{ raw, want string }{
		{"s3://bucket", "s3://bucket"},
		{"s3://bucket/", "s3://bucket/"},
		{"s3://zzz:zzz@bucket", "s3://bucket"},
		{"s3://zzz@bucket/path", "s3://bucket/path"},
		{"s3://key:zzz@bucket?endpoint=https://u:zzz@host&access_key=zzz", "s3://bucket?endpoint=https://host&access_key=redacted"},
		{"s3://b?endpoint=https%3A%2F%2Fzzz%3Azzz%40host%3A9000%2Fx", "s3://b?endpoint=https://host:9000/x"},
		{"s3://b?endpoint=https://host:9000&region=eu-1&use_path_style=true", "s3://b?endpoint=https://host:9000&region=eu-1&use_path_style=true"},
		{"s3://b?endpoint=https%3A%2F%2Fhost%3A9000", "s3://b?endpoint=https%3A%2F%2Fhost%3A9000"},
		{"s3://b?endpoint=zzz:zzz@host:9000", "s3://b?endpoint=host:9000"},
		{"s3://b?endpoint=127.0.0.1:9000", "s3://b?endpoint=127.0.0.1:9000"},
		{"s3://b?endpoint=https://h/?sig=zzz%26x=zzz", "s3://b?endpoint=https://h/%3Fsig%3Dredacted%26x%3Dredacted"},
		{"s3://b?endpoint=https://h/%3Ftoken%3Dzzz", "s3://b?endpoint=https://h/%3Ftoken%3Dredacted"},
		{"s3://b?endpoint=%zz%zzz", "s3://b?endpoint=redacted"},
		{"s3://b?secret_key=zzz&session-token=zzz&SIG=zzz", "s3://b?secret_key=redacted&session-token=redacted&SIG=redacted"},
		{"s3://b?Region=zzz", "s3://b?Region=redacted"},
		{"s3://b?zzz", "s3://b"},
		{"s3://b?zzz=", "s3://b"},
		{"s3://b?region=eu;secret=zzz", "s3://b?region=redacted"},
		{"s3://b?prefix=team@corp/", "s3://b?prefix=team@corp/"},
		{"s3://b#zzz", "s3://b"},
		{"s3://AKIA:123/zzz@bucket?region=x", "s3://bucket?region=x"},
		{"s3://zzz/zzz@bucket", "s3://bucket"},
		{"s3://AKIA:zzz/zzz@bucket", "s3://redacted"},
		{"s3://k:zzz zzz@bucket", "s3://redacted"},
		{"s3:zzz:zzz@bucket", "redacted"},
		{"zzz", "redacted"},
		{"", "redacted"},
		{"zzz zzz://x", "redacted"},
		{"://zzz", "redacted"},
		{"gs://bucket?access_id=zzz&private_key_path=zzz", "gs://bucket?access_id=redacted&private_key_path=redacted"},
		{"gs://bucket?prefix=prod/&anonymous=true", "gs://bucket?prefix=prod/&anonymous=true"},
		{"azblob://c?domain=127.0.0.1:10000&protocol=http&sas_token=zzz", "azblob://c?domain=127.0.0.1:10000&protocol=http&sas_token=redacted"},
		{"file:///mnt/@backups/x?create_dir=true", "file:///mnt/@backups/x?create_dir=true"},
		{"file://zzz:zzz@localhost/mnt", "file://localhost/mnt"},
		{"mem://", "mem://"},
		{"https://acct.blob.core.windows.net/c/b?se=2026&sig=zzz", "https://acct.blob.core.windows.net/c/b?se=redacted&sig=redacted"},
	}
	for _, test := range tests {
		b := bucket.New(memblob.OpenBucket(nil), test.raw, bucket.Kind{})
		got := b.URL()
		b.Close()
		if got != test.want || got != bucket.Redact(test.raw) {
			t.Errorf("URL() of %q = %q, want %q", test.raw, got, test.want)
		}
		if strings.Contains(got, "zzz") {
			t.Errorf("URL() of %q = %q: it tells a secret", test.raw, got)
		}
	}
}

// TestARedactedURLStaysSo shows that what was printed can be read in and printed again.
func TestARedactedURLStaysSo(t *testing.T) {
	once := bucket.Redact("s3://k:s@b/p?endpoint=https://u:p@h&access_key=x&region=r")
	if twice := bucket.Redact(once); twice != once {
		t.Errorf("Redact(%q) = %q", once, twice)
	}
}
