package stores

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/bucket/storetest"
)

// TestMain is another program when told so: one that uses a store, since net/http reads the proxy's
// address from the environment once in a process.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "use-a-store" {
		useStore(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// useStore writes an object and reads it.
func useStore(rawURL string) {
	ctx := context.Background()
	b, err := open(ctx, rawURL, os.Getenv, pace{pause: time.Millisecond, about: func(k *bucket.Kind) { k.Pause = time.Millisecond }})
	if err == nil {
		err = put(ctx, b, "new", []byte("data"))
	}
	if err == nil {
		_, err = read(ctx, b, "new")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestTheProxyOfTheEnvironmentIsUsed, and not for those whom NO_PROXY names.
func TestTheProxyOfTheEnvironmentIsUsed(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		// A name that only the proxy knows, since for loopback net/http asks none. fake-gcs-server and
		// Azurite answer to no such name, and so only that they were asked for is told.
		far := "http://store.invalid:" + s.endpoint[strings.LastIndex(s.endpoint, ":")+1:]
		for _, excluded := range []string{"", "store.invalid"} {
			proxy, name := storetest.Liar(t, s.endpoint), s.fresh(t)
			out, err := child(t, s.url(far, name), append(os.Environ(), "HTTP_PROXY="+proxy.Endpoint, "NO_PROXY="+excluded))
			asked := len(proxy.Requests(storetest.Ask{}))
			switch {
			case excluded != "" && (err == nil || asked > 0):
				t.Errorf("with NO_PROXY: %v, proxy asked %d times; want no way to the store", err, asked)
			case excluded == "" && asked == 0, excluded == "" && err != nil && s.scheme == "s3":
				t.Errorf("with HTTP_PROXY: %v, proxy asked %d times: %s", err, asked, out)
			}
			wantNoSecret(t, fmt.Errorf("%s", out), s.secrets)
		}
	})
}

// TestAnUnknownCAIsFinal, and ca= makes it known.
func TestAnUnknownCAIsFinal(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		l, ca := storetest.LiarTLS(t, s.endpoint)
		name, data := s.fresh(t), pattern(1000)
		r := &road{shop: s, t: t, name: name, l: l, real: s.hurried(t, s.url(s.endpoint, name), nil)}
		for what, c := range (&road{shop: s, t: t, name: name, b: s.hurried(t, s.url(l.Endpoint, name), nil)}).calls(data) {
			err := c.call()
			r.wantUnavailable(what, err)
			if err == nil || !strings.Contains(err.Error(), "unknown authority") {
				t.Errorf("%s = %v, want it to name the unknown authority", what, err)
			}
		}
		r.wantAsked(storetest.Ask{}, 0)
		r.there("there", data)
		param := "&ca="
		if !strings.Contains(s.url(l.Endpoint, name), "?") {
			param = "?ca="
		}
		trusting := &road{shop: s, t: t, name: name, b: s.hurried(t, s.url(l.Endpoint, name)+param+url.QueryEscape(ca), nil)}
		for what, c := range trusting.calls(data) {
			if err := c.call(); err != nil {
				t.Errorf("with ca=: %s = %v, want success", what, err)
			}
		}
	})
}

// TestAWrongRegionIsFinal and no reason to look for another checksum. MinIO takes any.
func TestAWrongRegionIsFinal(t *testing.T) {
	s := shops()["versitygw"](t)
	s.patience = 5 * time.Second
	r := s.road(t, "region=eu-central-1")
	r.there("there", pattern(10))
	for what, c := range r.calls(pattern(10)) {
		err := c.call()
		r.wantUnavailable(what, err)
		r.wantAsked(c.ask, 1)
		if err != nil && !strings.Contains(err.Error(), "us-east-1") {
			t.Errorf("%s = %v, want it to name the region", what, err)
		}
	}
	r.wantObjects("there")
}

// TestAMissingBucketIsNoMissingObject.
func TestAMissingBucketIsNoMissingObject(t *testing.T) {
	eachShop(t, func(t *testing.T, s shop) {
		r := s.road(t)
		r.name = "no-such-bucket-anywhere"
		r.b = s.hurried(t, s.url(r.l.Endpoint, r.name), nil)
		for what, c := range r.calls(pattern(10)) {
			r.wantUnavailable(what, c.call())
			if got := len(r.l.Requests(c.ask)); got < 1 || got > 2 { // once, and once to be sure that an object is missing
				t.Errorf("%s asked %d times", what, got)
			}
		}
	})
}

// TestABucketOfAnotherAccountIsRefused by MinIO's policies and by Azure's tokens.
func TestABucketOfAnotherAccountIsRefused(t *testing.T) {
	t.Run("MinIO", func(t *testing.T) {
		m := storetest.MinIO(t)
		s := s3Shop(t, m.S3)
		other := m.User(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::mine","arn:aws:s3:::mine/*"]}]}`)
		t.Setenv("AWS_ACCESS_KEY_ID", other.AccessKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", other.SecretKey)
		s.secrets = append(s.secrets, other.SecretKey)
		s.wantRefused(t)
	})
	t.Run("Azurite", func(t *testing.T) {
		s := azureShop(t)
		a := storetest.Azure{Endpoint: s.endpoint, Account: os.Getenv("AZURE_STORAGE_ACCOUNT"), Key: os.Getenv("AZURE_STORAGE_KEY")}
		token := a.SAS(t, a.Container(t), sas.ContainerPermissions{Read: true, Write: true, Create: true, List: true})
		t.Setenv("AZURE_STORAGE_KEY", "")
		t.Setenv("AZURE_STORAGE_SAS_TOKEN", token)
		values, err := url.ParseQuery(token)
		if err != nil {
			t.Fatal(err)
		}
		s.secrets = append(s.secrets, values.Get("sig"), url.QueryEscape(values.Get("sig")))
		s.wantRefused(t)
	})
}

// wantRefused asks for a bucket that is not ours.
func (s shop) wantRefused(t *testing.T) {
	t.Helper()
	r := s.road(t)
	for what, c := range r.calls(pattern(10)) {
		r.wantUnavailable(what, c.call())
		r.wantAsked(c.ask, 1)
	}
}

// TestAzureDoesNotPanic where gocloud's own writer does: its upload may fail once Close has begun.
func TestAzureDoesNotPanic(t *testing.T) {
	s := azureShop(t)
	s.secrets = append(s.secrets, "d3Jvbmcta2V5")
	for _, n := range []int{0, 10, 8<<20 + 1, parted} {
		r := s.road(t)
		r.there("there", []byte("another's"))
		if err := put(t.Context(), r.b, "there", pattern(n)); err == nil {
			t.Errorf("Put of %d bytes onto an object succeeded", n)
		}
		r.wantObject("there", []byte("another's"))
		key := os.Getenv("AZURE_STORAGE_KEY")
		t.Setenv("AZURE_STORAGE_KEY", "d3Jvbmcta2V5")
		r.wantUnavailable("Put", put(t.Context(), s.hurried(t, s.url(s.endpoint, r.name), nil), "new", pattern(n)))
		t.Setenv("AZURE_STORAGE_KEY", key)
	}
}

// TestValuesWithQuotesAndLineBreaksWork once they are cleaned.
func TestValuesWithQuotesAndLineBreaksWork(t *testing.T) {
	for name, dirt := range map[string]func(string) string{
		"quotes":               func(v string) string { return `"` + v + `"` },
		"single quotes, break": func(v string) string { return "'" + v + "'\n" },
		"breaks":               func(v string) string { return "\r\n " + v + " \r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			for _, start := range []string{"versitygw", "Azurite"} {
				s := shops()[start](t)
				for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"} {
					if value, ok := os.LookupEnv(v); ok {
						t.Setenv(v, dirt(value))
					}
				}
				bucket := s.fresh(t)
				try := func() error {
					b, err := open(t.Context(), s.url(s.endpoint, bucket), os.Getenv, pace{})
					if err != nil {
						return err
					}
					defer b.Close()
					return put(t.Context(), b, "new", []byte("data"))
				}
				dirty := try()
				if err := Clean(os.Environ(), func(name, value string) error { t.Setenv(name, value); return nil }); err != nil {
					t.Fatal(err)
				}
				if err := try(); dirty == nil || err != nil {
					t.Errorf("%s: before Clean %v, after it %v; want a fault and none", start, dirty, err)
				}
				wantNoSecret(t, dirty, s.secrets)
			}
		})
	}
}

// TestExplicitCredentialsAskNoMetadata address, and without any it is asked, so that a zero counts.
func TestExplicitCredentialsAskNoMetadata(t *testing.T) {
	asked := make(chan string, 1000)
	recorder := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		w.Header().Set("Metadata-Flavor", "Google")
		http.NotFound(w, r)
	}))
	defer recorder.Close()
	metadata := []string{
		"AWS_EC2_METADATA_DISABLED=false", "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + recorder.URL,
		"GCE_METADATA_HOST=" + strings.TrimPrefix(recorder.URL, "http://"), "HOME=" + t.TempDir(),
	}
	eachShop(t, func(t *testing.T, s shop) {
		explicit, none := map[string]string{"as they are": s.url(s.endpoint, s.fresh(t))}, ""
		env := slices.Concat(os.Environ(), metadata)
		switch s.scheme {
		case "s3":
			none = explicit["as they are"]
		case "gs": // anonymous until now
			explicit["by file"] = strings.TrimSuffix(s.url(s.endpoint, s.fresh(t)), "&anonymous=true")
			none = explicit["by file"]
			env = append(env, "GOOGLE_APPLICATION_CREDENTIALS="+serviceAccount(t))
		}
		for name, rawURL := range explicit {
			if out, err := child(t, rawURL, env); err != nil {
				t.Errorf("credentials %s: %v: %s", name, err, out)
			}
			if n := len(asked); n > 0 {
				t.Errorf("credentials %s: the metadata address was asked %d times, for %q first", name, n, <-asked)
			}
		}
		if none == "" {
			return // Azure's address is fixed, and not ours to record
		}
		env = append(env, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "GOOGLE_APPLICATION_CREDENTIALS=")
		out, err := child(t, none, env)
		if err == nil || len(asked) == 0 {
			t.Errorf("without credentials: %v, metadata asked %d times: %s; want a fault and some", err, len(asked), out)
		}
		if lines := strings.Count(string(out), "\n"); lines != 1 {
			t.Errorf("%d lines came, want the error alone, and nothing that the cloud's client logs: %s", lines, out)
		}
		for len(asked) > 0 {
			<-asked
		}
	})
}

// child uses a store in a process of its own.
func child(t *testing.T, rawURL string, env []string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "use-a-store", rawURL)
	cmd.Env = env
	return cmd.CombinedOutput()
}

// serviceAccount is the file of a Google account that logs in at a server of ours.
func serviceAccount(t *testing.T) string {
	t.Helper()
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(login.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "k", "client_email": "a@p.iam.gserviceaccount.com", "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		"token_uri":   login.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, bytes.TrimSpace(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
