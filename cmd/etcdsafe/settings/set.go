package settings

import (
	"encoding/json"

	"github.com/kelseyhightower/envconfig"
	"github.com/spf13/pflag"
)

// Set is one setting. Every layer speaks to it through put, in any order; it keeps the word of the highest. A value
// that cannot be read is never an error to the layer that brought it: it is kept as the setting's fault, for Validate.
type Set[T Kind] struct {
	value T
	state
}

// Field is a Set of any kind.
type Field interface {
	pflag.Value
	envconfig.Decoder
	json.Unmarshaler
	inner
}

// inner is what this package alone does with a Field.
type inner interface {
	put(l Layer, as string, g given)
	at() *state
}

// Get returns the value in force: the zero value where nothing was set and there is no default. What it returns of a
// setting that Validate finds fault with is not to be used.
func (s *Set[T]) Get() T {
	return s.value
}

// Decode takes the text of an ETCDSAFE_ variable, as envconfig calls it. An empty one counts as absent: that is what
// a template leaves of a value that nobody gave.
func (s *Set[T]) Decode(text string) error {
	if text != "" {
		s.put(LayerEnvironment, "", one(text))
	}
	return nil
}

// UnmarshalJSON takes the config file's value, which sigs.k8s.io/yaml has made JSON of. Null counts as absent.
func (s *Set[T]) UnmarshalJSON(raw []byte) error {
	if g := fromJSON(raw); g.form != nothing {
		s.put(LayerFile, "", g)
	}
	return nil
}

// Set takes the text of a flag. Lists and labels grow each time, all else keeps the last.
func (s *Set[T]) Set(text string) error {
	s.put(LayerFlag, "--"+s.known().flag, one(text))
	return nil
}

// Type is the placeholder of a flag's value in help.
func (s *Set[T]) Type() string {
	return placeholder(s.value, s.known().choices)
}

// put is the one way in. A layer lower than the one that spoke last is passed over. The name that the user typed is
// given in as, where the layer and the about do not tell it: for flags and ETCDCTL_ variables.
func (s *Set[T]) put(l Layer, as string, g given) {
	if l < s.layer {
		return
	}
	more := l == LayerFlag && s.layer == LayerFlag && grows(s.value)
	var v T
	if more {
		v = s.value
	}
	err := decode(g, &v, s.known())
	if more && s.fault != nil {
		err = s.fault
	}
	s.take(l, as, err)
	s.value, s.shown = v, ""
	if err == nil {
		s.shown = Mask(show(v, g.text))
	}
}
