// Package deferred holds what the rule in rules.go refuses.
package deferred

import "io"

func cut(r io.Reader, w *io.PipeWriter) {
	_, err := io.Copy(w, r)
	defer w.CloseWithError(err)
}

func observe(count int, err error) {}

func measured() (err error) {
	defer observe(1, err)
	return io.EOF
}

func fine() (err error) {
	defer func() { observe(1, err) }()
	return io.EOF
}
