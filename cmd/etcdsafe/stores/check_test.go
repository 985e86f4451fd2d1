package stores

import (
	"errors"
	"strings"
	"testing"
)

const canary = "canary-5d1e"

// TestCheckRefuses what can be told from the text of a URL alone, says why, and tells no secret.
func TestCheckRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"s3://AKIA:" + canary + "@bucket?region=eu-west-1":  "credentials do not belong in a URL",
		"s3://" + canary + "@bucket":                        "credentials do not belong in a URL",
		"azblob://container?sig=" + canary:                  `unknown parameter "sig"`,
		"azblob://container?AZURE_STORAGE_KEY=" + canary:    `unknown parameter "AZURE_STORAGE_KEY"`,
		"s3://bucket?secret_access_key=" + canary:           `unknown parameter "secret_access_key"`,
		"s3://bucket?endpoint=http://u:" + canary + "@host": "endpoint=",
		"s3://bucket?endpoint=http://host?sig=" + canary:    "endpoint=",
		"s3://bucket?regoin=eu-west-1":                      "nearest is region",
		"s3://bucket?pathstyle=true":                        "nearest is path_style",
		"gs://bucket?endpiont=http://host":                  "nearest is endpoint",
		"gs://bucket?retain=7d":                             `only s3 stores lock objects`,
		"azblob://container?checksum=md5":                   `unknown parameter "checksum"`,
		"file:///folder?region=x":                           `unknown parameter "region"`,
		"s3://bucket?region=a&region=b":                     `"region" is given twice`,
		"s3://bucket?region=":                               `"region" is empty`,
		"s3://bucket?path_style=maybe":                      "want true or false",
		"gs://bucket?anonymous=jein":                        "want true or false",
		"file:///folder?create_dir=perhaps":                 "neither true nor false",
		"s3://bucket?endpoint=localhost:9000":               "want http://host:port",
		"s3://bucket?endpoint=ftp://host":                   "want http://host:port",
		"s3://bucket?endpoint=http://":                      "want http://host:port",
		"s3://bucket?retain=soon":                           "want a time such as 7d",
		"s3://bucket?retain=-1h":                            "want a time such as 7d",
		"s3://bucket?retain=0s":                             "want a time such as 7d",
		"s3://bucket?sse=rot13":                             "want AES256, aws:kms",
		"s3://bucket?checksum=sha1":                         "want auto, sha256, crc32, md5 or none",
		"s3://bucket?region=%zz":                            "query",
		"s3://bucket/a//b":                                  "prefix:",
		"s3://bucket/../b":                                  "prefix:",
		"s3://bucket/a%20b":                                 "prefix:",
		"s3:///prefix":                                      "names no bucket",
		"s3://bucket#part":                                  "behind #",
		"file://host/backups":                               "file:///path has three slashes",
		"file://backups":                                    "file:///path",
		"file:///folder#part":                               "behind #",
		"s4://bucket":                                       `no store of kind "s4"`,
		"://bucket":                                         "no URL",
		"bucket":                                            `no store of kind ""`,
		"s3://bucket?region=a;secret=" + canary:             "query",
	} {
		err := Check(url)
		if !errors.Is(err, ErrURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%q) = %v, want %v with %q", url, err, ErrURL, want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("Check(%q) tells the secret: %v", url, err)
		}
	}
	for _, url := range []string{
		"s3://bucket", "s3://bucket/team/prod?region=eu-west-1&checksum=md5&sse=aws:kms:key&retain=36h&path_style=1&ca=/ca.pem",
		"gs://bucket/p?anonymous=false", "azblob://container?endpoint=https://a.blob.core.windows.net", "file:///folder?create_dir=true",
	} {
		if err := Check(url); err != nil {
			t.Errorf("Check(%q) = %v, want none", url, err)
		}
	}
}

// TestSameTellsStoresByTheirPlace, not by what is asked of them.
func TestSameTellsStoresByTheirPlace(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"file:///a", "file:///a", true},
		{"file:///a", "file:///a/", true},
		{"file:///a", "file://localhost//b/../a?create_dir=true", true},
		{"file:///a", "file:///a/b", false},
		{"s3://b/p", "s3://b/p/", true},
		{"s3://b/p?region=eu-west-1", "s3://b/p?checksum=md5", true},
		{"s3://b?endpoint=http://h:1", "s3://b/?endpoint=http://h:1/", true},
		{"s3://b?endpoint=http://h:1", "s3://b?endpoint=http://h:2", false},
		{"s3://b/p", "s3://b/p-2", false},
		{"s3://b", "s3://c", false},
		{"s3://b", "gs://b", false},
		{"s4://b", "s4://b", false},
	} {
		if got := Same(c.a, c.b); got != c.want {
			t.Errorf("Same(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestCredentialsThatAreNoneAreNotTold: what cannot even be read as a key is named by its variable.
func TestCredentialsThatAreNoneAreNotTold(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"key":               {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": canary + "!"},
		"token":             {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=" + canary + " " + canary},
		"token with %":      {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=%zz" + canary},
		"token with break":  {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "sv=1\n&sig=" + canary},
		"connection string": {"AZURE_STORAGE_CONNECTION_STRING": "AccountKey=" + canary},
	} {
		b, err := open(t.Context(), "azblob://container?endpoint=http://127.0.0.1:1", func(v string) string { return env[v] }, pace{})
		if err == nil {
			err = put(t.Context(), b, "new", nil)
		}
		if err == nil || !strings.Contains(err.Error(), "AZURE_STORAGE") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want the variable named and its value not", name, err)
		}
	}
}
