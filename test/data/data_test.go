package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

var update = flag.Bool("update", false, "write the golden digests anew")

// sequences are all that the package makes, by name.
var sequences = map[string]func(seed uint64, n int) iter.Seq2[string, []byte]{
	"kubernetes":        Kubernetes,
	"kubernetes-update": func(seed uint64, n int) iter.Seq2[string, []byte] { return KubernetesUpdate(seed, 3, n) },
	"custom-resources":  CustomResources,
	"custom-resources-update": func(seed uint64, n int) iter.Seq2[string, []byte] {
		return CustomResourcesUpdate(seed, 3, n)
	},
}

// digest is over each key and value, with their lengths.
func digest(pairs iter.Seq2[string, []byte]) string {
	h := sha256.New()
	for key, value := range pairs {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(key))))
		h.Write([]byte(key))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(value))))
		h.Write(value)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestTheSameSeedGivesTheSameBytesForEver(t *testing.T) {
	golden := filepath.Join("testdata", "golden.json")
	got := map[string]string{}
	for name, make := range sequences {
		got[name] = digest(make(1, 1000))
	}
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("digests of the first 1000 are %v, want %v", got, want)
	}
}

func TestAnotherSeedOrUpdateGivesOtherBytes(t *testing.T) {
	seen := map[string]string{}
	for name, make := range sequences {
		for seed := range uint64(3) {
			d := digest(make(seed, 20))
			if other, ok := seen[d]; ok {
				t.Errorf("%s of seed %d has the bytes of %s", name, seed, other)
			}
			seen[d] = name
		}
	}
}

func TestALongerSequenceBeginsWithTheShorter(t *testing.T) {
	for name, make := range sequences {
		var keys []string
		var values [][]byte
		for key, value := range make(7, 50) {
			keys, values = append(keys, key), append(values, value)
		}
		i := 0
		for key, value := range make(7, 1<<40) {
			if i == len(keys) {
				break // and the sequence takes the hint
			}
			if key != keys[i] || !slices.Equal(value, values[i]) {
				t.Errorf("%s: object %d differs", name, i)
			}
			i++
		}
		if i != 50 {
			t.Errorf("%s: %d objects of 50", name, i)
		}
	}
}

func TestKeysAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, pairs := range []iter.Seq2[string, []byte]{Kubernetes(2, 5000), CustomResources(2, 1000)} {
		for key := range pairs {
			if seen[key] {
				t.Fatalf("key %s comes twice", key)
			}
			seen[key] = true
		}
	}
}

func TestSuffixesAreUnique(t *testing.T) {
	seen := make([]bool, 27*27*27*27*27)
	for i := range uint64(300_000) {
		n := 0
		for _, letter := range suffix(i) {
			n = n*27 + strings.IndexRune(kubeLetters, letter)
		}
		if seen[n] {
			t.Fatalf("suffix %s comes twice", suffix(i))
		}
		seen[n] = true
	}
}

func TestUpdatesKeepTheKeysAndMostOfTheBytes(t *testing.T) {
	for name, pair := range map[string][2]iter.Seq2[string, []byte]{
		"kubernetes":       {KubernetesUpdate(1, 0, 500), KubernetesUpdate(1, 1, 500)},
		"custom-resources": {CustomResourcesUpdate(1, 0, 500), CustomResourcesUpdate(1, 1, 500)},
	} {
		next, stop := iter.Pull2(pair[1])
		defer stop()
		changed := 0
		for key, value := range pair[0] {
			newKey, newValue, ok := next()
			if !ok || newKey != key {
				t.Fatalf("%s: %s became %s", name, key, newKey)
			}
			if !slices.Equal(value, newValue) {
				changed++
			}
		}
		if changed < 400 {
			t.Errorf("%s: an update changed %d of 500", name, changed)
		}
	}
}

// A decoded message has what came under each field number.
type decoded map[protowire.Number][][]byte

// decode takes a message apart; varints are left as they are written.
func decode(t *testing.T, key string, b []byte) decoded {
	t.Helper()
	d := decoded{}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("%s: tag: %v", key, protowire.ParseError(n))
		}
		b = b[n:]
		value, n := protowire.ConsumeBytes(b)
		if kind != protowire.BytesType {
			n = protowire.ConsumeFieldValue(field, kind, b)
			value = b[:max(n, 0)]
		}
		if n < 0 {
			t.Fatalf("%s: field %d: %v", key, field, protowire.ParseError(n))
		}
		d[field] = append(d[field], value)
		b = b[n:]
	}
	return d
}

// one is a field that stands there once, or empty.
func (d decoded) one(field protowire.Number) string {
	if len(d[field]) != 1 {
		return ""
	}
	return string(d[field][0])
}

// TestKubernetesDecodes reads each object as the API server would: runtime.Unknown, TypeMeta,
// ObjectMeta, by their field numbers.
func TestKubernetesDecodes(t *testing.T) {
	kinds := map[string]int{}
	for key, value := range Kubernetes(1, 2000) {
		raw, ok := strings.CutPrefix(string(value), "k8s\x00")
		if !ok {
			t.Fatalf("%s begins with %q", key, value[:8])
		}
		unknown := decode(t, key, []byte(raw))
		meta := decode(t, key, []byte(unknown.one(1)))
		kinds[meta.one(1)+" "+meta.one(2)]++
		object := decode(t, key, []byte(decode(t, key, []byte(unknown.one(2))).one(1)))
		name, namespace, uid := object.one(1), object.one(3), object.one(5)
		if path := strings.Split(key, "/"); path[len(path)-1] != name || namespace != "" && path[len(path)-2] != namespace {
			t.Errorf("%s holds %q of namespace %q", key, name, namespace)
		}
		if len(uid) != 36 || len(object[17]) == 0 {
			t.Errorf("%s has uid %q, %d managers", key, uid, len(object[17]))
		}
		for _, m := range object[17] {
			manager := decode(t, key, m)
			if owned := decode(t, key, []byte(manager.one(7))).one(1); !json.Valid([]byte(owned)) || len(owned) < 20 {
				t.Errorf("%s: %s manages %q", key, manager.one(1), owned)
			}
		}
	}
	for _, kind := range []string{
		"v1 Pod", "v1 Event", "apps/v1 ReplicaSet", "v1 ConfigMap", "v1 Secret", "coordination.k8s.io/v1 Lease",
		"discovery.k8s.io/v1 EndpointSlice", "apps/v1 Deployment", "v1 ServiceAccount", "v1 Node",
	} {
		if kinds[kind] < 10 {
			t.Errorf("%d of kind %s", kinds[kind], kind)
		}
		delete(kinds, kind)
	}
	if len(kinds) > 0 {
		t.Errorf("further kinds: %v", kinds)
	}
}

func TestKubernetesHasTheSizeOfRealObjects(t *testing.T) {
	total, n := 0, 2000
	for _, value := range Kubernetes(1, n) {
		total += len(value)
	}
	if mean := total / n; mean < 6000 || mean > 7500 {
		t.Errorf("mean of %d bytes, want 6000 to 7500", mean)
	}
}

func TestSharesAddUp(t *testing.T) {
	sum := 0
	for _, k := range kinds {
		sum += k.share
	}
	if sum != 1000 {
		t.Errorf("the shares add up to %d", sum)
	}
}

func TestCustomResourcesAreJSONOf1To20KB(t *testing.T) {
	least, most := 1<<30, 0
	for key, value := range CustomResources(1, 1000) {
		var resource struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace, UID string }
			Spec             struct{ Parts []json.RawMessage }
		}
		if err := json.Unmarshal(value, &resource); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		want := "/registry/example.com/widgets/" + resource.Metadata.Namespace + "/" + resource.Metadata.Name
		if key != want || resource.Kind != "Widget" || len(resource.Spec.Parts) == 0 {
			t.Errorf("%s holds %s %s with %d parts", key, resource.Kind, want, len(resource.Spec.Parts))
		}
		least, most = min(least, len(value)), max(most, len(value))
	}
	if least < 1000 || least > 2000 || most > 20_480 || most < 17_000 {
		t.Errorf("%d to %d bytes, want about 1 to 20 KB", least, most)
	}
}
