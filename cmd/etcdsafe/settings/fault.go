package settings

import (
	"errors"
	"strings"
)

// ErrConfig is what every Fault and Faults is.
var ErrConfig = errors.New("configuration")

// Fault is one thing wrong with the settings.
type Fault struct {
	Name string // as the user typed it: --deadline, ETCDSAFE_DEADLINE, "key deadline in FILE"
	Err  error  // never holds a secret
}

func (f *Fault) Error() string {
	return Mask(f.Name + ": " + f.Err.Error())
}

// Unwrap makes a Fault an ErrConfig.
func (f *Fault) Unwrap() []error {
	return []error{ErrConfig, f.Err}
}

// Faults is all that is wrong with the settings, on one line; range over it to print one a line.
type Faults []error

func (f Faults) Error() string {
	var lines []string
	for _, err := range f {
		lines = append(lines, err.Error())
	}
	return "configuration: " + strings.Join(lines, "; ")
}

// Unwrap makes Faults an ErrConfig.
func (f Faults) Unwrap() []error {
	return append([]error{ErrConfig}, f...)
}
