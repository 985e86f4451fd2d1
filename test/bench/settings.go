package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// settings are what scripts/bench.sh gives.
type settings struct {
	tools  string // folder of etcd-3.6, etcdctl-3.6, etcdutl-3.6, age, age-keygen
	bin    string // folder of etcdsafe, fill, and heap/etcdsafe with the sampler
	work   string // folder to work in, on a local disk
	etcd   string // version of etcd and its tools, such as 3.6
	commit string // what was built

	megabytes int
	rounds    int
	heapMB    []int
	heapKeys  []int

	parts []string // of etcd, stores, cron

	bound, results, storeResults, cronResults string // files
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.tools, "tools", "", "folder of etcd, its tools and age")
	f.StringVar(&s.bin, "bin", "", "folder of etcdsafe, heap/etcdsafe and fill")
	f.StringVar(&s.work, "work", "", "empty folder to work in")
	f.StringVar(&s.etcd, "etcd", "3.6", "version of etcd and its tools")
	f.StringVar(&s.commit, "commit", "unknown", "what etcdsafe was built from")
	f.IntVar(&s.megabytes, "mb", 500, "size of the databases that are timed")
	f.IntVar(&s.rounds, "rounds", 5, "rounds that count; 0: nothing is timed")
	f.Func("heap-mb", "sizes of the databases at which the heap is measured", numbers(&s.heapMB))
	f.Func("heap-keys", "numbers of small keys at which the heap is measured", numbers(&s.heapKeys))
	f.StringVar(&s.bound, "bound", "", "file of lines FIGURE<TAB>what it is bound by")
	f.StringVar(&s.results, "results", "", "file to write the results to")
	f.StringVar(&s.storeResults, "store-results", "", "file to write the results of object stores to")
	f.StringVar(&s.cronResults, "cron-results", "", "file to write the results of cron to")
	parts := f.String("parts", "etcd stores", "what to measure")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.parts = strings.Fields(*parts)
	return s, s.validate(f.Args())
}

// numbers reads positive numbers with blanks between them.
func numbers(to *[]int) func(string) error {
	return func(text string) error {
		*to = nil
		for _, word := range strings.Fields(text) {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no positive number", word)
			}
			*to = append(*to, n)
		}
		return nil
	}
}

// validate names all faults at once.
func (s settings) validate(rest []string) error {
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unknown arguments %q", rest))
	}
	for name, value := range map[string]string{"tools": s.tools, "bin": s.bin, "work": s.work, "bound": s.bound, "results": s.results, "store-results": s.storeResults, "cron-results": s.cronResults} {
		if value == "" {
			errs = append(errs, fmt.Errorf("-%s is needed", name))
		}
	}
	if s.megabytes < 1 || s.rounds < 0 {
		errs = append(errs, errors.New("-mb must be 1 or more, -rounds not below 0"))
	}
	for _, part := range s.parts {
		if !slices.Contains([]string{"etcd", "stores", "cron"}, part) {
			errs = append(errs, fmt.Errorf("-parts: %q is none of etcd, stores and cron", part))
		}
	}
	if (slices.Contains(s.parts, "stores") || slices.Contains(s.parts, "cron")) && s.rounds < 1 {
		errs = append(errs, errors.New("-rounds must be 1 or more for object stores and cron"))
	}
	return errors.Join(errs...)
}
