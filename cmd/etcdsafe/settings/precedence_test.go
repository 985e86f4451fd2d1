package settings

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// speak adds to in what layer says of f.
func (in *input) speak(l Layer, f Field) {
	a, text := f.at().about, sample(f, int(l))
	switch l {
	case LayerFlag:
		in.args = append(in.args, "--"+a.flag+"="+text)
	case LayerEnvironment:
		in.env = append(in.env, a.env+"="+text)
	case LayerFile:
		job, key, inJob := strings.Cut(a.key, ".")
		in.file = fmt.Sprintf("%s: %q\n", job, text)
		if inJob {
			in.file = fmt.Sprintf("%s: {%s: %q}\n", job, key, text)
		}
	case LayerEtcdctl:
		in.env = append(in.env, a.etcdctl+"="+text)
	}
}

// layersOf lists the layers that can speak of f, lowest first.
func layersOf(f Field) []Layer {
	var all []Layer
	if f.at().about.etcdctl != "" {
		all = append(all, LayerEtcdctl)
	}
	if f.at().about.key != "" {
		all = append(all, LayerFile)
	}
	all = append(all, LayerEnvironment)
	if !f.at().about.secret {
		all = append(all, LayerFlag)
	}
	return all
}

func TestHighestLayerThatSpokeWins(t *testing.T) {
	etcdctl := 0
	for i, f := range New().fields {
		layers := layersOf(f)
		if layers[0] == LayerEtcdctl {
			etcdctl++
		}
		for spoken := range 1 << len(layers) {
			var in input
			top := LayerDefault
			for bit, l := range layers {
				if spoken&(1<<bit) != 0 {
					in.speak(l, f)
					top = l
				}
			}
			checkTop(t, load(t, in).fields[i], top, in)
		}
	}
	if etcdctl != 6 {
		t.Errorf("%d settings stand in for ETCDCTL_ variables, want 6", etcdctl)
	}
}

func checkTop(t *testing.T, f Field, top Layer, in input) {
	t.Helper()
	want := sample(f, int(top))
	if top == LayerDefault {
		want = f.at().about.preset
	}
	name := f.at().about.path
	if got := f.at().Layer(); got != top {
		t.Errorf("%s after %+v: layer %s, want %s", name, in, got, top)
	}
	if got := value(f); got != want {
		t.Errorf("%s after %+v = %q, want %q", name, in, got, want)
	}
	if got, want := f.at().IsSet(), top != LayerDefault; got != want {
		t.Errorf("%s after %+v: IsSet() = %t, want %t", name, in, got, want)
	}
	if f.at().fault != nil {
		t.Errorf("%s after %+v: fault %v, want none", name, in, f.at().fault)
	}
}

func TestOrderOfLayersDoesNotMatter(t *testing.T) {
	for i, f := range New().fields {
		for range 10 {
			s := New()
			order := rand.Perm(5)
			for _, l := range order {
				s.fields[i].put(Layer(l), "", one(sample(f, l)))
			}
			if got, want := value(s.fields[i]), sample(f, int(LayerFlag)); got != want {
				t.Errorf("%s after layers %v = %q, want %q", f.at().about.path, order, got, want)
			}
		}
	}
}

// A fault goes with its layer: it is no concern of anyone once a higher layer has spoken, and a good word below does
// not mend it.
func TestFaultIsThatOfTheHighestLayer(t *testing.T) {
	s := load(t, input{args: []string{"--deadline=5m"}, env: []string{"ETCDSAFE_DEADLINE=soon"}})
	wantFaults(t, faults(t, s), nil)
	s = load(t, input{env: []string{"ETCDSAFE_DEADLINE=soon"}, file: "deadline: 5m\n"})
	wantFaults(t, faults(t, s), []string{`ETCDSAFE_DEADLINE: "soon" is not a duration`})
	if got := s.Deadline.Get(); got != 0 {
		t.Errorf("Get() of a setting with a fault = %s, want 0", got)
	}
	s = load(t, input{args: []string{"--deadline=soon", "--deadline=5m"}})
	wantFaults(t, faults(t, s), nil)
}

func TestEmptyVariableIsAbsent(t *testing.T) {
	for i, f := range New().fields {
		var in input
		a := f.at().about
		in.env = []string{a.env + "="}
		if a.etcdctl != "" {
			in.env = append(in.env, a.etcdctl+"=")
		}
		checkTop(t, load(t, in).fields[i], LayerDefault, in)
	}
}

func TestNullInTheFileIsAbsent(t *testing.T) {
	for i, f := range New().fields {
		job, key, inJob := strings.Cut(f.at().about.key, ".")
		in := input{file: job + ":\n"}
		if inJob {
			in.file += "  " + key + ":\n"
		}
		if job != "" {
			checkTop(t, load(t, in).fields[i], LayerDefault, in)
		}
	}
}

func TestEtcdctlUser(t *testing.T) {
	tests := []struct {
		name           string
		env            []string
		user, password string
		fault          []string
	}{
		{"user alone", []string{"ETCDCTL_USER=root"}, "root", "", nil},
		{"a pair", []string{"ETCDCTL_USER=root:a:b"}, "root", "a:b", nil},
		{"two variables", []string{"ETCDCTL_USER=root", "ETCDCTL_PASSWORD=pw"}, "root", "pw", nil},
		{"another user", []string{"ETCDCTL_USER=root:pw", "ETCDSAFE_USER=backup"}, "backup", "", nil},
		{"own password", []string{"ETCDCTL_USER=root:pw", "ETCDSAFE_PASSWORD=own"}, "root", "own", nil},
		{"two passwords", []string{"ETCDCTL_USER=root:pw", "ETCDCTL_PASSWORD=two"}, "", "two",
			[]string{"ETCDCTL_USER: holds a password, and ETCDCTL_PASSWORD another"}},
		{"no password", []string{"ETCDCTL_USER=root:"}, "root", "", []string{"ETCDCTL_USER: is empty"}},
		{"a pair of ours", []string{"ETCDSAFE_USER=root:pw"}, "", "", []string{"ETCDSAFE_USER: holds a colon"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := load(t, input{env: test.env})
			if got := string(s.User.Get()); got != test.user {
				t.Errorf("user = %q, want %q", got, test.user)
			}
			if got := s.Password.Get().Reveal(); got != test.password {
				t.Errorf("password = %q, want %q", got, test.password)
			}
			wantFaults(t, faults(t, s), test.fault)
		})
	}
}

func TestFirstOfTwoEqualVariablesCounts(t *testing.T) {
	s := load(t, input{env: []string{"ETCDSAFE_CLUSTER=first", "ETCDSAFE_CLUSTER=second", "no pair", "=C:=x"}})
	if got := s.Cluster.Get(); got != "first" {
		t.Errorf("cluster = %q, want the first, as os.Getenv has it", got)
	}
}
