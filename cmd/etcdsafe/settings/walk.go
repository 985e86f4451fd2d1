package settings

import (
	"iter"
	"reflect"
	"strings"
	"unicode"

	"github.com/kelseyhightower/envconfig"
)

// prefix begins the name of every variable of ours.
const prefix = "ETCDSAFE"

// about is what the walk learns of a field from its name and its tags.
type about struct {
	concern Concern
	job     string // "snapshot", or "" where every command may have it
	path    string // snapshot.ifOlderThan
	key     string // the same, or "" where the file may not hold it
	env     string // ETCDSAFE_SNAPSHOT_IF_OLDER_THAN
	etcdctl string // the ETCDCTL_ variable that stands in, or ""
	flag    string // snapshot-if-older-than
	own     string // if-older-than: the flag in the job's own command

	preset    string
	desc      string
	choices   []string
	positive  bool
	unlimited bool    // -1 is no limit
	secret    bool    // has no flag
	file      *string // the config file, once it is read
}

// walk gives each field of s its about, and returns the fields in the order in which they are written. The names are
// envconfig's own: it walks the same structs in the same order.
func walk(s *Settings) []Field {
	names := variables(s)
	var found []Field
	for job, concern := range concerns(s) {
		fields := reflect.ValueOf(concern).Elem()
		for i := range fields.NumField() {
			f := fields.Field(i).Addr().Interface().(Field)
			a := newAbout(job, names[len(found)])
			a.readTags(fields.Type().Field(i).Tag)
			a.concern, a.file = concern, &s.file
			_, a.secret = f.(*Set[Secret])
			f.at().about = a
			found = append(found, f)
		}
	}
	if len(found) != len(names) {
		panic("settings: envconfig lists other fields than the walk")
	}
	return found
}

// concerns yields the concerns of s, each with its job: an embedded one has none.
func concerns(s *Settings) iter.Seq2[string, Concern] {
	return func(yield func(string, Concern) bool) {
		v := reflect.ValueOf(s).Elem()
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			job := ""
			if !f.Anonymous {
				job = strings.ToLower(f.Name)
			}
			if !yield(job, v.Field(i).Addr().Interface().(Concern)) {
				return
			}
		}
	}
}

// variables lists the names that envconfig reads for s.
func variables(s *Settings) []string {
	var list strings.Builder
	err := envconfig.Usagef(prefix, s, &list, "{{range .}}{{usage_key .}}\n{{end}}")
	if err != nil {
		panic("settings: " + err.Error()) // only where s is no pointer to a struct
	}
	return strings.Fields(list.String())
}

func newAbout(job, env string) *about {
	a := &about{job: job, env: env}
	a.flag = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(env, prefix+"_")), "_", "-")
	a.own = a.flag
	a.path = camel(a.flag)
	if job != "" {
		a.own = strings.TrimPrefix(a.flag, job+"-")
		a.path = job + "." + camel(a.own)
	}
	return a
}

func (a *about) readTags(tag reflect.StructTag) {
	a.preset, a.desc, a.etcdctl = tag.Get("preset"), tag.Get("desc"), tag.Get("etcdctl")
	a.positive, a.unlimited = tag.Get("positive") == "true", tag.Get("unlimited") == "true"
	if list := tag.Get("enum"); list != "" {
		a.choices = strings.Split(list, ",")
	}
	if tag.Get("file") != "-" {
		a.key = a.path
	}
}

// camel turns if-older-than into ifOlderThan.
func camel(flag string) string {
	var out strings.Builder
	up := false
	for _, r := range flag {
		if r == '-' {
			up = true
			continue
		}
		if up {
			r = unicode.ToUpper(r)
		}
		out.WriteRune(r)
		up = false
	}
	return out.String()
}
