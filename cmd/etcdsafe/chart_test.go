package main

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

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
