package settings

import "github.com/spf13/pflag"

// Flags binds the flags of concerns, which must be of s, under the names that they have in a job's own command:
// `snapshot --if-older-than`. Secrets have none. What is typed becomes a fault for Validate where it cannot be read,
// never an error of the parser, which would print it.
func (s *Settings) Flags(fs *pflag.FlagSet, concerns ...Concern) {
	s.bind(fs, concerns, func(a *about) string { return a.own })
}

// PrefixedFlags binds them as `run` and `cron` have them: `run --snapshot-if-older-than`.
func (s *Settings) PrefixedFlags(fs *pflag.FlagSet, concerns ...Concern) {
	s.bind(fs, concerns, func(a *about) string { return a.flag })
}

// Flag binds single fields, for a command that has not the whole concern.
func (s *Settings) Flag(fs *pflag.FlagSet, fields ...Field) {
	for _, f := range fields {
		bindOne(fs, f, f.at().about.own)
	}
}

func (s *Settings) bind(fs *pflag.FlagSet, concerns []Concern, name func(*about) string) {
	for _, c := range concerns {
		of := s.of(c)
		if len(of) == 0 {
			panic("settings: flags of a concern of other settings")
		}
		for _, f := range of {
			a := f.at().about
			if a.secret {
				continue
			}
			bindOne(fs, f, name(a))
		}
	}
}

func bindOne(fs *pflag.FlagSet, f Field, name string) {
	flag := fs.VarPF(typed{Field: f, name: name}, name, shorthands[name], f.at().about.desc)
	if f.Type() == "bool" {
		flag.NoOptDefVal = "true"
	}
}

// shorthands are those that kubectl's and etcdctl's users type without thinking.
var shorthands = map[string]string{"output": "o"}

// of lists the fields of a concern.
func (s *Settings) of(c Concern) []Field {
	var out []Field
	for _, f := range s.fields {
		if f.at().about.concern == c {
			out = append(out, f)
		}
	}
	return out
}

// typed is a Field under the name of one command's flag, so that a fault can say what was typed.
type typed struct {
	Field
	name string
}

// Set puts the text where the Field's own Set would, under the flag's name.
func (t typed) Set(text string) error {
	t.put(LayerFlag, "--"+t.name, one(text))
	return nil
}
