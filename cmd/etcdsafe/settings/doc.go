// Package settings is what an operator may set, and where each value came from.
//
//	flag > ETCDSAFE_* > config file > ETCDCTL_* > default
//
// One struct per concern says all there is to say of a setting: its field's name makes the variable (by envconfig's
// split_words), the flag and the file's key; its tags hold the default, the choices and one line for the operator. An
// embedded concern has no prefix; a named one is a job's, and carries the job's name everywhere but in that job's own
// command. The README's table, `config` and the chart's schema are made from the same walk over those structs.
//
//	New → Flags (cobra parses) → Load → Validate → Get
//
// Each field is a Set, which keeps its value, the layer that gave it and its fault, so the order in which layers speak
// does not matter and Validate can tell all faults at once, each by the name that the user typed.
//
// It never reads the process's environment (Load is given it), never takes a secret from a flag, and never prints one:
// no fault, format or log of this package holds a secret's text or the user part of a URL. Nor does it look outside the
// settings: whether a file, a bucket or a member exists is for others to find out.
//
// The tags: split_words (envconfig's, on every field), desc, preset (the default; envconfig acts on a tag of the name
// "default", after the file was read), enum, positive, unlimited (-1 is taken), etcdctl (the ETCDCTL_ variable that stands in), and file:"-" for
// what the config file may not hold.
package settings
