package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
)

const chartSchema = "../../chart/etcdsafe/values.schema.json"

// notInChart are the settings that `config` of the chart's values may not hold, by key or by all that begin with it, and
// why.
var notInChart = map[string]string{
	"config": "the chart names the file", "reportFile": "no volume for it", "terminationLog": "Kubernetes' own",
	"xcomFile": "for Airflow", "cacert": mounted, "cert": mounted, "key": mounted, "password": "a secret", "passwordFile": mounted,
	"recipientsFile": mounted, "identitiesFile": mounted, "spoolDir": mounted,
	"kubeconfig": "the Pod's account takes the Lease", "lockNamespace": "that account has rights in its own namespace alone",
	"at": byHand, "restore.": byHand, "copy.": byHand, "hold.": byHand, "list.": byHand, "status.": byHand, "break.": byHand,
	"snapshot.hold": byHand, "prune.only": byHand, "prune.reason": byHand, "prune.planHash": byHand, "prune.simulate": byHand,
	"prune.every": byHand, "prune.days": byHand, "prune.size": byHand,
	"cron.": "made of the jobs' own schedules, and of the chart's cron",
}

const (
	mounted = "the chart mounts it, and says where"
	byHand  = "of a command that a person runs"
)

func TestChartTakesEverySetting(t *testing.T) {
	text, err := os.ReadFile(chartSchema)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatalf("%s: %v", chartSchema, err)
	}
	definitions := schema["definitions"].(map[string]any)
	is, want := definitions["config"], plainJSON(t, configSchema())
	if *update {
		definitions["config"] = want
		if err := os.WriteFile(chartSchema, indented(t, schema), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !reflect.DeepEqual(is, want) {
		t.Errorf("%s has other settings than the code: go test ./cmd/etcdsafe -run Chart -update", chartSchema)
	}
}

// configSchema is JSON Schema of the config file, less what the chart sees to itself.
func configSchema() map[string]any {
	top := map[string]any{}
	for _, o := range settings.New().Origins() {
		job, key, nested := strings.Cut(o.Key, ".")
		switch {
		case o.Key == "", notInChart[o.Key] != "", nested && notInChart[job+"."] != "":
		case !nested:
			top[o.Key] = schemaOf(o)
		default:
			if top[job] == nil {
				top[job] = object(map[string]any{})
			}
			top[job].(map[string]any)["properties"].(map[string]any)[key] = schemaOf(o)
		}
	}
	return object(top)
}

func object(properties map[string]any) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// schemaOf tells as much of a setting's kind as a schema can; the rest the binary says.
func schemaOf(o settings.Origin) map[string]any {
	const duration = `^(0|([0-9]+(\.[0-9]+)?(d|h|m|s|ms|us|ns))+)$`
	text := func(pattern string) map[string]any { return map[string]any{"type": "string", "pattern": pattern} }
	several := map[string]any{"type": []string{"string", "array"}, "items": map[string]any{"type": "string"}}
	kinds := map[string]map[string]any{
		"bool":      {"type": "boolean"},
		"int":       {"type": "integer", "minimum": -1},
		"size":      {"type": []string{"string", "integer"}, "minimum": 0, "pattern": `^[0-9]+(\.[0-9]+)?([eE][0-9]+|m|k|[MGTPE]|[KMGTPE]i)?$`},
		"duration":  text(duration),
		"n/t":       text(`^[0-9]+/[0-9]+$`),
		"key=value": {"type": []string{"string", "object"}, "additionalProperties": map[string]any{"type": "string"}},
		"list":      several, "addresses": several, "URLs": several,
	}
	kind, ok := kinds[o.Type]
	switch {
	case o.Enum != nil:
		kind = map[string]any{"enum": o.Enum}
	case !ok:
		kind = map[string]any{"type": "string"}
	}
	kind["description"] = o.Desc
	return kind
}

// plainJSON is v as it is read from a file.
func plainJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	return plain
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// renderedPod is what a golden file of test/chart says of one Pod, as far as the binary sees it.
type renderedPod struct {
	file, owner string
	args        []string
	env         []string
	config      string
}

// TestChartSpeaksToThisBinary gives each Pod's variables, settings and arguments to the settings and the commands.
func TestChartSpeaksToThisBinary(t *testing.T) {
	all := renderedPods(t)
	for _, p := range all {
		c := &cli{set: settings.New()}
		cmd, rest, err := c.root().Find(p.args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("%s: %s: etcdsafe %s: %v", p.file, p.owner, strings.Join(p.args, " "), err)
			continue
		}
		c.set.Load(p.env, func(path string) ([]byte, error) {
			if path != "/etc/etcdsafe/config.yaml" {
				return nil, os.ErrNotExist
			}
			return []byte(p.config), nil
		})
		var checks []settings.Check
		if cmd.Name() == "cron" {
			checks = c.cronChecks()
		}
		if err := c.set.Validate(checks...); err != nil {
			t.Errorf("%s: %s: %v", p.file, p.owner, err)
		}
		if c.set.Cluster.Get() != "prod" {
			t.Errorf("%s: %s: cluster = %q, want that of the file", p.file, p.owner, c.set.Cluster.Get())
		}
	}
	if len(all) < 36 {
		t.Errorf("%d Pods, want those of all golden files", len(all))
	}
}

// TestChartKnowsEveryExitCode: each ends a Job, or is tried again, and none is left to the default.
func TestChartKnowsEveryExitCode(t *testing.T) {
	text, err := os.ReadFile("../../test/chart/golden/external.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]string{}
	for _, rule := range regexp.MustCompile(`action: (\w+)\n +onExitCodes:\n +containerName: etcdsafe\n +operator: In\n +values: \[(.*)\]`).FindAllStringSubmatch(string(text), -1) {
		for code := range strings.SplitSeq(rule[2], ", ") {
			n, err := strconv.Atoi(code)
			if err != nil || known[n] != "" && known[n] != rule[1] {
				t.Errorf("code %s is %s and %s: %v", code, known[n], rule[1], err)
			}
			known[n] = rule[1]
		}
	}
	want := map[int]string{
		2: "FailJob", exitPartial: "FailJob", exitConfig: "FailJob", exitLocked: "FailJob", exitIntegrity: "FailJob",
		exitRefused: "FailJob", exitDeadline: "FailJob",
		exitFailed: "Count", exitEtcd: "Count", exitStore: "Count", 137: "Count", exitTerminated: "Count",
	}
	if !reflect.DeepEqual(known, want) {
		t.Errorf("podFailurePolicy = %v, want %v", known, want)
	}
	for _, row := range exitCodes {
		if known[row.code] == "" && row.code != exitInterrupted { // nobody sends SIGINT to a Pod
			t.Errorf("podFailurePolicy does not know %d", row.code)
		}
	}
}

func renderedPods(t *testing.T) []renderedPod {
	t.Helper()
	files, err := filepath.Glob("../../test/chart/golden/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	var all []renderedPod
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var configs map[string]string
		for doc := range strings.SplitSeq(string(text), "\n---\n") {
			var o renderedObject
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if o.Kind == "ConfigMap" {
				configs = o.Data // helm renders it before what has it
			}
			if p, ok := o.pod(configs); ok {
				p.file = filepath.Base(file)
				all = append(all, p)
			}
		}
	}
	return all
}

// renderedObject is any of the chart's objects.
type renderedObject struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		renderedSpec
		Template    struct{ Spec renderedSpec }
		JobTemplate struct {
			Spec struct{ Template struct{ Spec renderedSpec } }
		}
	}
}

type renderedSpec struct {
	Containers []struct {
		Args []string
		Env  []struct{ Name, Value string }
	}
	Volumes []struct {
		Projected struct {
			Sources []struct {
				ConfigMap struct{ Items []struct{ Key string } }
			}
		}
	}
}

func (o renderedObject) pod(configs map[string]string) (renderedPod, bool) {
	spec := map[string]renderedSpec{"Pod": o.Spec.renderedSpec, "Deployment": o.Spec.Template.Spec, "CronJob": o.Spec.JobTemplate.Spec.Template.Spec}[o.Kind]
	if len(spec.Containers) == 0 {
		return renderedPod{}, false
	}
	c := spec.Containers[0]
	p := renderedPod{owner: o.Kind + " " + o.Metadata.Name, args: c.Args, config: configs[spec.Volumes[0].Projected.Sources[0].ConfigMap.Items[0].Key]}
	for _, e := range c.Env {
		p.env = append(p.env, e.Name+"="+e.Value)
	}
	return p, true
}
