package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/etcdsafe/etcdsafe/test/data"
	"k8s.io/apimachinery/pkg/api/resource"
)

// settings are what the command line says.
type settings struct {
	endpoints   []string
	kind        string
	objects     int
	bytes       int64
	seed        uint64
	writers     int
	updateEvery int
	compact     bool
}

// A kind makes objects, and the same ones after some updates.
type kind struct {
	objects func(seed uint64, n int) iter.Seq2[string, []byte]
	updates func(seed, updates uint64, n int) iter.Seq2[string, []byte]
}

var kinds = map[string]kind{
	"kubernetes":       {data.Kubernetes, data.KubernetesUpdate},
	"custom-resources": {data.CustomResources, data.CustomResourcesUpdate},
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var endpoints, size string
	f := flag.NewFlagSet("fill", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&endpoints, "endpoint", "127.0.0.1:2379", "client URLs, comma separated")
	f.StringVar(&s.kind, "kind", "kubernetes", "kubernetes or custom-resources")
	f.IntVar(&s.objects, "objects", 0, "stop after so many objects; 0: by -bytes alone")
	f.StringVar(&size, "bytes", "0", "stop when the database file has this size, such as 500Mi; 0: by -objects alone")
	f.Uint64Var(&s.seed, "seed", 1, "the same seed writes the same keys and values")
	f.IntVar(&s.writers, "writers", 16, "how many puts are under way at once")
	f.IntVar(&s.updateEvery, "update-every", 5, "after so many objects one of the earlier ones gets a new value; 0: never")
	f.BoolVar(&s.compact, "compact", false, "compact to the last revision at the end, and wait for it")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.endpoints = strings.Split(endpoints, ",")
	bytes, err := resource.ParseQuantity(size)
	if err != nil {
		err = fmt.Errorf("-bytes %q: %w", size, err)
	}
	s.bytes = bytes.Value()
	return s, errors.Join(err, s.validate(f.Args()))
}

// validate names all faults at once.
func (s settings) validate(rest []string) error {
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unknown arguments %q", rest))
	}
	if _, ok := kinds[s.kind]; !ok {
		errs = append(errs, fmt.Errorf("-kind %q: neither kubernetes nor custom-resources", s.kind))
	}
	if s.objects < 0 || s.bytes < 0 || s.objects == 0 && s.bytes == 0 {
		errs = append(errs, errors.New("say where to end: -objects or -bytes, above 0"))
	}
	if s.writers < 1 || s.updateEvery < 0 {
		errs = append(errs, errors.New("-writers must be 1 or more, and -update-every not below 0"))
	}
	return errors.Join(errs...)
}
