package settings

import (
	"errors"
)

// Check is a rule of one command. Its error is best made by a field's Errorf, or errors.Join of several.
type Check func(*Settings) error

// Validate returns nil, or Faults with everything that is wrong: with each field, with names that are no setting, with
// the rules that always hold, and with checks. Nothing of s is to be used before it returned nil.
func (s *Settings) Validate(checks ...Check) error {
	var all Faults
	for _, f := range s.fields {
		if st := f.at(); st.fault != nil {
			all = append(all, st.Errorf("%w", st.fault))
		}
	}
	for _, f := range s.faults {
		all = append(all, f)
	}
	for _, check := range append([]Check{onePassword, wholePair, sealedOrPlain}, checks...) {
		all = append(all, flat(check(s))...)
	}
	if all == nil {
		return nil
	}
	return all
}

// flat takes apart what errors.Join joined.
func flat(err error) []error {
	switch e := err.(type) { //nolint:errorlint // the outermost error alone is taken apart
	case nil:
		return nil
	case *Fault:
		return []error{e}
	case Faults:
		return e
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(all, flat(inner)...)
		}
		return all
	}
	return []error{err}
}

// Need refuses settings that nobody gave and that have no default. What was given with a fault is not missing.
func Need(fields ...Field) Check {
	return func(*Settings) error {
		var missing []error
		for _, f := range fields {
			if st := f.at(); st.shown == "" && st.fault == nil {
				missing = append(missing, st.Errorf("must be given"))
			}
		}
		return errors.Join(missing...)
	}
}

// Readable refuses paths that open cannot open, all of them at once. Unset ones are passed over.
func Readable(open func(path string) error, paths ...*Set[Path]) Check {
	return func(*Settings) error {
		var closed []error
		for _, p := range paths {
			if p.Get() == "" || p.fault != nil {
				continue
			}
			if err := open(string(p.Get())); err != nil {
				closed = append(closed, p.Errorf("open %q: %w", p.Get(), unpathed(err)))
			}
		}
		return errors.Join(closed...)
	}
}

// onePassword lets PASSWORD_FILE stand against etcdctl's variables, which only fill what is absent.
func onePassword(s *Settings) error {
	if s.PasswordFile.Get() == "" || s.Password.Layer() <= LayerEtcdctl {
		return nil
	}
	return s.Password.Errorf("is set, and %s too: keep one", s.PasswordFile.Name())
}

func wholePair(s *Settings) error {
	switch cert, key := s.Cert.Get(), s.Key.Get(); {
	case cert != "" && key == "":
		return s.Cert.Errorf("needs its key: %s", s.Key.Name())
	case key != "" && cert == "":
		return s.Key.Errorf("needs its certificate: %s", s.Cert.Name())
	}
	return nil
}

func sealedOrPlain(s *Settings) error {
	if !s.Plaintext.Get() {
		return nil
	}
	for _, f := range []Field{&s.Recipients, &s.RecipientsFile} {
		if f.String() != "" {
			return s.Plaintext.Errorf("is set, and %s too: keep one", f.at().Name())
		}
	}
	return nil
}
