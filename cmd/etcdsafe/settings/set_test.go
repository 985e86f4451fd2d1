package settings

import (
	"testing"

	"github.com/kelseyhightower/envconfig"
	"sigs.k8s.io/yaml"
)

// A Set works in any struct, for whoever decodes it: a fault is kept, and never stops the others from being read.
func TestSetOutsideOfSettings(t *testing.T) {
	var mine struct {
		Good Set[int64] `split_words:"true"`
		Bad  Set[bool]  `split_words:"true"`
	}
	if err := yaml.UnmarshalStrict([]byte("bad: maybe\ngood: 7\n"), &mine); err != nil {
		t.Errorf("UnmarshalStrict = %v, want the fault to be kept", err)
	}
	if mine.Good.Get() != 7 || mine.Good.Layer() != LayerFile || mine.Bad.fault == nil {
		t.Errorf("the file gave %v and fault %v, want 7 and a fault", mine.Good.Get(), mine.Bad.fault)
	}
	t.Setenv("MINE_GOOD", "8")
	t.Setenv("MINE_BAD", "true")
	if err := envconfig.Process("mine", &mine); err != nil {
		t.Errorf("Process = %v", err)
	}
	if mine.Good.Get() != 8 || !mine.Bad.Get() || mine.Bad.fault != nil {
		t.Errorf("the environment gave %v and %v (%v), want 8 and true", mine.Good.Get(), mine.Bad.Get(), mine.Bad.fault)
	}
}

func TestLayersHaveNames(t *testing.T) {
	want := []string{"default", "etcdctl environment", "file", "environment", "flag", "unknown"}
	for l, name := range want {
		if got := Layer(l).String(); got != name {
			t.Errorf("Layer(%d) = %q, want %q", l, got, name)
		}
	}
}
