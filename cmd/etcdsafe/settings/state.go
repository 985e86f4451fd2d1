package settings

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// state is what a Set keeps besides its value. Its formats show the masked text alone, whatever verb they are asked
// with.
type state struct {
	shown string // the value as text, secrets masked
	layer Layer
	as    string // the name that was typed, where it is not the about's
	fault error
	about *about
}

// IsSet reports whether anyone set this: a default is not set.
func (s state) IsSet() bool {
	return s.layer > LayerDefault
}

// Layer is who set this.
func (s state) Layer() Layer {
	return s.layer
}

// Name is what the user typed to set this, or could type where nobody did.
func (s state) Name() string {
	a := s.known()
	switch s.layer {
	case LayerFlag, LayerEtcdctl:
		return s.as
	case LayerEnvironment:
		return a.env
	case LayerFile:
		return "key " + a.path + " in " + *a.file
	}
	if a.secret {
		return a.env
	}
	return "--" + a.own + " (" + a.env + ")"
}

// Errorf is a fault of this setting, for checks to return. The text must not hold a secret.
func (s state) Errorf(format string, args ...any) error {
	return &Fault{Name: s.Name(), Err: fmt.Errorf(format, args...)}
}

// String is the value as the user gave it, secrets masked.
func (s state) String() string {
	return s.shown
}

// Format writes String whatever the verb, so that no verb reaches the value.
func (s state) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(s.shown))
}

// LogValue is String.
func (s state) LogValue() slog.Value {
	return slog.StringValue(s.shown)
}

// MarshalJSON is String.
func (s state) MarshalJSON() ([]byte, error) {
	return json.Marshal(s.shown)
}

func (s *state) at() *state {
	return s
}

// known is what the walk told, or nothing for a Set outside of Settings.
func (s state) known() *about {
	if s.about == nil {
		return &about{file: new(string)}
	}
	return s.about
}

func (s *state) take(l Layer, as string, fault error) {
	s.layer, s.as, s.fault = l, as, fault
}
