package chart

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/etcdsafe/etcdsafe/test/child"
)

var update = flag.Bool("update", false, "write what the chart renders into golden")

const (
	chartDir = "../../chart/etcdsafe"
	release  = "etcdsafe"
	// namespace is where all is installed.
	namespace = "backup"
)

// object is one of Kubernetes' objects, as YAML has it.
type object map[string]any

func (o object) kind() string { return o["kind"].(string) }
func (o object) name() string { return o.at("metadata", "name").(string) }

// at is what stands under the keys, or nil.
func (o object) at(keys ...string) any {
	var v any = map[string]any(o)
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// cases are the files of values, by name.
func cases(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values: %v", err)
	}
	all := map[string]string{}
	for _, f := range files {
		all[strings.TrimSuffix(filepath.Base(f), ".yaml")] = f
	}
	return all
}

// tool runs one of the group helm, and fails the test where it fails.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, "helm", name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// try runs a tool, and gives its stdout, with stderr behind it where it failed.
func try(t *testing.T, group, name string, args ...string) (string, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, child.Tool(t, group, name), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	var out, story bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &story
	if err := cmd.Run(); err != nil {
		return out.String() + story.String(), err
	}
	return out.String(), nil
}

func template(t *testing.T, values string, more ...string) string {
	t.Helper()
	return tool(t, "helm", append([]string{"template", release, chartDir, "--namespace", namespace, "--values", values}, more...)...)
}

// render is what the chart makes of a file of values.
func render(t *testing.T, values string, more ...string) []object {
	t.Helper()
	return objects(t, template(t, values, more...))
}

func objects(t *testing.T, text string) []object {
	t.Helper()
	var all []object
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
			t.Fatalf("rendered: %v\n%s", err, doc)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		t.Fatal("nothing was rendered")
	}
	return all
}

func TestRenderedAsBefore(t *testing.T) {
	for name, values := range cases(t) {
		got, golden := template(t, values), filepath.Join("golden", name+".yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got != string(want) {
			t.Errorf("%s is rendered otherwise than %s: go test ./test/chart -run Before -update, and look", name, golden)
		}
	}
}
