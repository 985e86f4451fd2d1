//go:build e2e

// Package image runs the image under a real docker, as its users do. scripts/imagetest.sh brings
// the daemon, loads the image as etcdsafe, and runs these tests beside it.
package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/test/data"
)

// output is what a command left.
type output struct {
	stdout, stderr string
	code           int
}

// shell runs a command line, as a user types it, in a folder.
func shell(t *testing.T, dir, line string) output {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", line)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is shell for a line that has to end with 0.
func must(t *testing.T, dir, line string) output {
	t.Helper()
	out := shell(t, dir, line)
	if out.code != 0 {
		t.Fatalf("%s\nexits with %d\n%s%s", line, out.code, out.stdout, out.stderr)
	}
	return out
}

func TestEntrypointAndCommandInEveryCombination(t *testing.T) {
	for line, want := range map[string]string{
		"docker run --rm etcdsafe":                                  "Usage:\n  etcdsafe [",
		"docker run --rm etcdsafe version":                          "etcd client",
		"docker run --rm --entrypoint etcdsafe etcdsafe":            "Usage:\n  etcdsafe [",
		"docker run --rm --entrypoint etcdsafe etcdsafe version":    "etcd client",
		"docker run --rm --network none etcdsafe help snapshot":     "etcdsafe snapshot [flags]",
		"docker run --rm -e TZ=Asia/Kolkata etcdsafe prune --help":  "--time-zone",
		"docker run --rm --user 0:0 --read-only etcdsafe version":   "commit ",
		"docker run --rm --user 77:88 --cap-drop ALL etcdsafe help": "etcdsafe",
	} {
		if out := must(t, "", line); !strings.Contains(out.stdout, want) {
			t.Errorf("%s prints %q, want %q in it", line, out.stdout, want)
		}
	}
}

// TestNothingElseIsInside reads the archive's layers: one program, and no shell to run another.
func TestNothingElseIsInside(t *testing.T) {
	layers := must(t, "", `tar -xOf "$ETCDSAFE_IMAGE" manifest.json | jq -r '.[0].Layers[]' | while read -r layer; do
		tar -xOf "$ETCDSAFE_IMAGE" "$layer" | tar -tvz --numeric-owner
	done`).stdout
	var got []string
	for line := range strings.Lines(layers) {
		fields := strings.Fields(line)
		if mode, name := fields[0], fields[5]; mode != "drwxr-xr-x" {
			got = append(got, mode+" "+name)
		}
		if fields[1] != "0/0" {
			t.Errorf("%q belongs to %s, want 0/0", fields[5], fields[1])
		}
	}
	slices.Sort(got)
	want := []string{
		"-rw-r--r-- etc/group", "-rw-r--r-- etc/passwd", "-rw-r--r-- etc/ssl/certs/ca-certificates.crt", "-rw-r--r-- usr/share/doc/ca-certificates/copyright",
		"-rw-r--r-- usr/share/doc/etcdsafe/LICENSE", "-rw-r--r-- usr/share/doc/etcdsafe/NOTICES", "-rw-r--r-- usr/share/doc/etcdsafe/sbom.cdx.json",
		"-rwxr-xr-x usr/local/bin/etcdsafe", "drwxrwxrwt tmp/",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the layers hold %q\nwant %q", got, want)
	}
}

func TestTheImageSaysWhatItIs(t *testing.T) {
	var said []struct {
		Config struct {
			User                 string
			Cmd, Entrypoint, Env []string
			Labels               map[string]string
		}
	}
	text := must(t, "", "docker image inspect etcdsafe").stdout
	if err := json.Unmarshal([]byte(text), &said); err != nil || len(said) != 1 {
		t.Fatalf("docker image inspect: %v\n%s", err, text)
	}
	c := said[0].Config
	if c.User != "65532:65532" || len(c.Cmd) != 0 || !slices.Contains(c.Env, "ETCDSAFE_LOG_FORMAT=json") {
		t.Errorf("user %q, command %q, environment %q", c.User, c.Cmd, c.Env)
	}
	built := struct{ Version, Commit, Date string }{}
	if err := json.Unmarshal([]byte(must(t, "", "docker run --rm etcdsafe version -o json").stdout), &built); err != nil {
		t.Fatal(err)
	}
	const label = "org.opencontainers.image."
	if built.Commit == "" || c.Labels[label+"version"] != built.Version || c.Labels[label+"revision"] != built.Commit || c.Labels[label+"created"] != built.Date {
		t.Errorf("labels %q, want those of %+v", c.Labels, built)
	}
}

// hardened is what a restricted Pod has, and no more.
const hardened = "docker run --rm --network host --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"

// TestJobsRunAsAnybodyWithoutRights takes, verifies and restores a snapshot as users that the image does
// not know, in the memory of a small Pod.
func TestJobsRunAsAnybodyWithoutRights(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	c.Put(t, data.Kubernetes(1, 300))
	for _, user := range []string{"123456:0", "1000:3000", "65532:65532"} {
		t.Run(user, func(t *testing.T) {
			dir := t.TempDir()
			must(t, dir, "mkdir store data && chown "+user+" store data .")
			run := fmt.Sprintf("%s --memory 64m --user %s -v $PWD:/w -e ETCDSAFE_CLUSTER=prod -e ETCDSAFE_STORES=file:///w/store etcdsafe ", hardened, user)
			must(t, dir, run+"keygen /w/identity.txt > recipients.txt")
			out := must(t, dir, run+"snapshot --log-level debug --endpoints "+c.Endpoints()[0]+" --recipients-file /w/recipients.txt")
			if want := `"msg":"heap was limited","job":"snapshot","cluster":"prod","bytes":33554432,"child":"16777216"`; !strings.Contains(out.stderr, want) {
				t.Errorf("snapshot says %s\nwant %s", out.stderr, want)
			}
			must(t, dir, run+"verify latest --level content --identities-file /w/identity.txt")
			must(t, dir, run+"restore latest --identities-file /w/identity.txt --data-dir /w/data --bump-revision 0")
			must(t, dir, "chown -R 0:0 data")
			back := etcdtest.StartOnDataDir(t, "3.6", filepath.Join(dir, "data"))
			if got, want := keys(t, back), keys(t, c); got != want || want < 300 {
				t.Errorf("the restored etcd has %d keys, want %d", got, want)
			}
		})
	}
}

// keys counts what an etcd holds, but for the lock.
func keys(t *testing.T, c *etcdtest.Cluster) int {
	t.Helper()
	out := must(t, "", etcdtest.Tool(t, "etcdctl-3.6")+" --endpoints "+c.Endpoints()[0]+" get /registry --prefix --keys-only | grep -c .")
	var n int
	if _, err := fmt.Sscan(out.stdout, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadmesLinesWork carries out the lines of README's section, with the address of a real etcd.
func TestReadmesLinesWork(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{TLS: true})
	dir := t.TempDir()
	must(t, dir, "mkdir etc")
	for name, from := range map[string]string{"ca.crt": c.CA, "client.crt": c.ClientCert, "client.key": c.ClientKey} {
		must(t, dir, "cp "+from+" etc/"+name)
	}
	lines := strings.ReplaceAll(readme(t), "https://10.0.0.1:2379", c.Endpoints()[0])
	out := must(t, dir, "set -x\n"+lines)
	if n := strings.Count(out.stderr, "+ docker run "); n < 5 {
		t.Errorf("README has %d lines for docker, want at least 5", n)
	}
	if n := len(must(t, dir, "ls backups/prod/manifests").stdout); n == 0 {
		t.Error("README's lines made no archive")
	}
	list := must(t, dir, "docker run --rm -v $PWD/backups:/backups etcdsafe list --cluster prod --stores file:///backups --long").stdout
	if !strings.Contains(list, "content") || !strings.Contains(list, "equal") {
		t.Errorf("list --long says %s, want archives that are verified", list)
	}

	t.Run("quotes of an env-file are kept, and told", func(t *testing.T) {
		must(t, dir, `sed -i 's/^ETCDSAFE_CLUSTER=.*/ETCDSAFE_CLUSTER="prod"/; $aETCDSAFE_DRY_RUN='"'true'" etcdsafe.env`)
		out := shell(t, dir, "docker run --rm --env-file etcdsafe.env -v $PWD/etc:/etc/etcdsafe:ro etcdsafe snapshot")
		for _, want := range []string{`ETCDSAFE_CLUSTER`, `"\"prod\""`, `ETCDSAFE_DRY_RUN`, `"'true'"`} {
			if out.code != 10 || !strings.Contains(strings.ReplaceAll(out.stderr, "`", `"`), want) {
				t.Errorf("exits with %d and says %q, want 10 and %s", out.code, out.stderr, want)
			}
		}
	})
}

// readme is the code of README's section on the image, but for the line that loads it.
func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Image\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !ok || !end {
		t.Fatal("README.md has no section Image")
	}
	var lines strings.Builder
	for line := range strings.Lines(section) {
		code, ok := strings.CutPrefix(line, "    ")
		if ok && !strings.HasPrefix(code, "make ") && !strings.HasPrefix(code, "docker load ") && !strings.HasPrefix(code, "kubectl ") {
			lines.WriteString(code)
		}
	}
	return lines.String()
}
