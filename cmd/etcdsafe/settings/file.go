package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

var (
	errDocuments = errors.New("holds more than one YAML document, of which only the first would count")
	errMapping   = errors.New("holds no mapping of keys to values")
	errYAML      = errors.New("is not YAML")
)

func (s *Settings) loadFile(readFile func(string) ([]byte, error)) {
	path := string(s.Config.Get())
	if path == "" {
		return
	}
	raw, err := readFile(path)
	if err != nil {
		s.refuse(s.Config.Name(), "read %q: %w", path, unpathed(err))
		return
	}
	keys, err := parseFile(raw)
	if err != nil {
		s.refuse(s.Config.Name(), "%q %w", path, err)
		return
	}
	s.file = path
	s.loadKeys(keys)
}

// loadKeys gives each key of the file to its field, and refuses all that have none.
func (s *Settings) loadKeys(keys map[string]json.RawMessage) {
	jobs := map[string]bool{}
	for _, f := range s.fields {
		jobs[f.at().about.job] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "" || !jobs[key] {
			s.loadKey(key, keys[key])
			continue
		}
		inside, err := object(keys[key])
		if err != nil {
			s.refuse("key "+key+" in "+s.file, "%w", err)
		}
		for _, k := range slices.Sorted(maps.Keys(inside)) {
			s.loadKey(key+"."+k, inside[k])
		}
	}
}

func (s *Settings) loadKey(path string, raw json.RawMessage) {
	i := slices.IndexFunc(s.fields, func(f Field) bool { return f.at().about.path == path })
	name := "key " + path + " in " + s.file
	switch {
	case i < 0:
		s.refuse(name, "is no setting%s", DidYouMean(path, s.names(func(a *about) string { return a.key })))
	case s.fields[i].at().about.key == "":
		s.refuse(name, "is not for the file: set %s", s.fields[i].at().about.env)
	default:
		_ = s.fields[i].UnmarshalJSON(raw) // keeps its fault
	}
}

// parseFile returns the keys of a config file; no error holds a value of it.
func parseFile(raw []byte) (map[string]json.RawMessage, error) {
	if !oneDocument(raw) {
		return nil, errDocuments
	}
	tree, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, yamlFault(err)
	}
	return object(tree)
}

func object(raw []byte) (map[string]json.RawMessage, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, errMapping
	}
	return keys, nil
}

// oneDocument reports whether raw is a single document: the parser passes over all but the first without a word.
func oneDocument(raw []byte) bool {
	begun, ended := false, false
	for line := range bytes.Lines(bytes.TrimPrefix(raw, []byte("\ufeff"))) {
		line = bytes.TrimRight(line, " \t\r\n")
		switch {
		case len(line) == 0 || line[0] == '#' || line[0] == '%':
		case bytes.Equal(line, []byte("...")):
			ended = true
		case ended, begun && marker(line):
			return false
		default:
			begun = true
		}
	}
	return true
}

func marker(line []byte) bool {
	return bytes.Equal(line, []byte("---")) || bytes.HasPrefix(line, []byte("--- "))
}

// harmless is what the parser may say: its messages that quote nothing, and a key that stands there twice. The others
// hold pieces of values: an unquoted password that begins with * is an "unknown anchor".
var harmless = regexp.MustCompile(`^(?:yaml: |  )((?:line \d+: )?(?:` +
	`(?:did not|could not|found|mapping (?:keys|values)|block sequence|control characters)[^\x60"]*|` +
	`key "[\w.-]+" already set in map))$`)

func yamlFault(err error) error {
	lines, _, _ := strings.Cut(err.Error(), "\n")
	if _, several, ok := strings.Cut(err.Error(), "yaml: unmarshal errors:\n"); ok {
		lines = several
	}
	var said []string
	for line := range strings.SplitSeq(lines, "\n") {
		if m := harmless.FindStringSubmatch(line); m != nil {
			said = append(said, m[1])
		}
	}
	if said == nil {
		return errYAML
	}
	return fmt.Errorf("%w: %s", errYAML, strings.Join(said, ", "))
}
