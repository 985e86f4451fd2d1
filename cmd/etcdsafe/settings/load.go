package settings

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Load reads what env and the config file say. env is the process's, as os.Environ gives it; the names looked up in it
// are those that envconfig lists, whose Process would read the process's environment itself and stop at the first
// fault. Call it once, after the flags are parsed, since they name the file and the user. Whatever is wrong waits for
// Validate.
func (s *Settings) Load(env []string, readFile func(string) ([]byte, error)) {
	vars := lookup(env)
	s.loadEnvironment(vars)
	s.loadFile(readFile)
	s.loadEtcdctl(vars)
}

// lookup is env by name; the first of two counts, as in os.Getenv.
func lookup(env []string) map[string]string {
	vars := map[string]string{}
	for _, pair := range slices.Backward(env) {
		if name, value, ok := strings.Cut(pair, "="); ok {
			vars[name] = value
		}
	}
	return vars
}

func (s *Settings) loadEnvironment(vars map[string]string) {
	unknown := maps.Clone(vars)
	for _, f := range s.fields {
		name := f.at().about.env
		if value, ok := vars[name]; ok {
			_ = f.Decode(value) // keeps its fault
		}
		delete(unknown, name)
	}
	s.refuseUnknown(unknown)
}

// link is a variable that Kubernetes makes of a Service, here of one whose name begins with etcdsafe.
var link = regexp.MustCompile(`^` + prefix + `_(\w+_)?` +
	`(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func (s *Settings) refuseUnknown(vars map[string]string) {
	var links []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		switch {
		case !strings.HasPrefix(name, prefix+"_"):
		case link.MatchString(name):
			links = append(links, name)
		default:
			s.refuse(name, "is no setting%s", DidYouMean(name, s.names(func(a *about) string { return a.env })))
		}
	}
	if links != nil {
		s.refuse(strings.Join(links, ", "), "made by Kubernetes for a Service: set enableServiceLinks: false in the Pod")
	}
}

// loadEtcdctl reads the six variables of etcdctl that have a meaning here, where etcdsafe's own are absent.
func (s *Settings) loadEtcdctl(vars map[string]string) {
	for _, f := range s.fields {
		name := f.at().about.etcdctl
		if value := vars[name]; name != "" && value != "" && f != Field(&s.User) {
			f.put(LayerEtcdctl, name, one(value))
		}
	}
	s.loadEtcdctlUser(vars["ETCDCTL_USER"], vars["ETCDCTL_PASSWORD"] != "")
}

// loadEtcdctlUser splits user:password as etcdctl does. The password goes with its user: where another user is set, it
// is left alone.
func (s *Settings) loadEtcdctlUser(text string, passwordSet bool) {
	const name = "ETCDCTL_USER"
	if text == "" || s.User.IsSet() {
		return
	}
	user, password, pair := strings.Cut(text, ":")
	if pair && passwordSet {
		s.refuse(name, "holds a password, and ETCDCTL_PASSWORD another: keep one")
		return
	}
	s.User.put(LayerEtcdctl, name, one(user))
	if pair {
		s.Password.put(LayerEtcdctl, name, one(password))
	}
}

// names lists the names of every field.
func (s *Settings) names(name func(*about) string) []string {
	var out []string
	for _, f := range s.fields {
		if n := name(f.at().about); n != "" {
			out = append(out, n)
		}
	}
	return out
}

// refuse keeps a fault that belongs to no field.
func (s *Settings) refuse(name, format string, args ...any) {
	s.faults = append(s.faults, &Fault{Name: name, Err: fmt.Errorf(format, args...)})
}
