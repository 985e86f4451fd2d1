package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/test/data"
)

// filled runs the command against a new member.
func filled(t *testing.T, args ...string) (*etcdtest.Cluster, report) {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{})
	var stdout, stderr bytes.Buffer
	args = append([]string{"-endpoint", c.Endpoints()[0]}, args...)
	if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
		t.Fatalf("fill %q exits with %d: %s", args, code, &stderr)
	}
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("fill %q prints %q: %v", args, &stdout, err)
	}
	return c, r
}

func held(t *testing.T, c *etcdtest.Cluster) map[string][]byte {
	t.Helper()
	resp, err := c.Client(t).Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatalf("get all: %v", err)
	}
	got := map[string][]byte{}
	for _, kv := range resp.Kvs {
		got[string(kv.Key)] = kv.Value
	}
	return got
}

func TestFillWritesObjectsAndUpdatesOfThem(t *testing.T) {
	for name, kind := range map[string]kind{
		"kubernetes":       {data.Kubernetes, data.KubernetesUpdate},
		"custom-resources": {data.CustomResources, data.CustomResourcesUpdate},
	} {
		t.Run(name, func(t *testing.T) {
			c, r := filled(t, "-kind", name, "-objects", "200", "-seed", "9", "-update-every", "4")
			want := maps.Collect(kind.objects(9, 200))
			if r.Objects != 200 || r.Updates < 30 || r.Revision != int64(1+r.Objects+r.Updates) {
				t.Errorf("report %+v", r)
			}
			for key, value := range kind.updates(9, 1, r.Updates) {
				want[key] = value
			}
			if got := held(t, c); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("the cluster holds %d keys, want %d, or values differ", len(got), len(want))
			}
		})
	}
}

func TestFillStopsAtTheSize(t *testing.T) {
	const size = 8 << 20
	_, r := filled(t, "-bytes", "8Mi")
	if r.DBSize < size || r.DBSize > 3*size || r.Objects < 500 {
		t.Errorf("report %+v, want a database of 8 MiB and a little", r)
	}
}

func TestFillCompacts(t *testing.T) {
	c, r := filled(t, "-objects", "300", "-update-every", "1", "-compact")
	if _, compacted := c.HashKV(t, 0, 0); compacted != r.Revision || r.CompactedTo != r.Revision {
		t.Errorf("compacted to %d, report %+v", compacted, r)
	}
	if len(held(t, c)) != 300 {
		t.Errorf("%d keys are left of 300", len(held(t, c)))
	}
}

func TestFillRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{}, []string{"say where to end"}},
		{[]string{"-kind", "x", "-writers", "0"}, []string{"-kind", "say where to end", "-writers"}},
		{[]string{"-objects", "1", "-bytes", "much"}, []string{"-bytes"}},
		{[]string{"-objects", "1", "more"}, []string{"more"}},
		{[]string{"-no-such"}, []string{"no-such"}},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &stdout, &stderr); code != 10 || stdout.Len() > 0 {
			t.Errorf("fill %q exits with %d and prints %q", c.args, code, &stdout)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("fill %q says %q, not a word of %s", c.args, &stderr, want)
			}
		}
	}
}

func TestFillTellsOfAFullDatabase(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{QuotaBytes: 4 << 20})
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"-endpoint", c.Endpoints()[0], "-objects", "5000"}, &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "space exceeded") || stdout.Len() > 0 {
		t.Errorf("fill of a full database exits with %d and says %q", code, &stderr)
	}
}
