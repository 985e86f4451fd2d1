package settings

import "log/slog"

// Settings is every setting of every command. Make it with New; it holds pointers into itself, so it must not be
// copied. It is for one goroutine until Validate has returned, and for any number of readers after.
type Settings struct {
	Common
	Store
	Job
	Etcd
	Quota
	Lock
	Keys
	Spool
	Past
	Snapshot Snapshot
	Verify   Verify
	Restore  Restore
	Copy     Copy
	Prune    Prune
	Defrag   Defrag
	Cron     Cron
	Hold     Hold
	List     List
	Status   Status
	Break    Break

	fields []Field
	file   string   // the config file that was read
	faults []*Fault // what belongs to no field: unknown names, a file that cannot be read
}

// New returns settings that hold their defaults.
func New() *Settings {
	s := new(Settings)
	for _, f := range walk(s) {
		if preset := f.at().about.preset; preset != "" {
			f.put(LayerDefault, "", one(preset))
		}
		s.fields = append(s.fields, f)
	}
	return s
}

// LogValue is what was set, by anyone, one attribute each, with secrets masked.
func (s *Settings) LogValue() slog.Value {
	var set []slog.Attr
	for _, f := range s.fields {
		if f.at().IsSet() {
			set = append(set, slog.String(f.at().about.path, f.String()))
		}
	}
	return slog.GroupValue(set...)
}

// Differ lists the paths of the settings that are another in o.
func (s *Settings) Differ(o *Settings) []string {
	var out []string
	for i, f := range s.fields {
		if f.String() != o.fields[i].String() {
			out = append(out, f.at().about.path)
		}
	}
	return out
}
