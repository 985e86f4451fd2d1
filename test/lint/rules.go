//go:build ruleguard

// Package lint holds rules for golangci-lint's ruleguard. It is never built.
package lint

import "github.com/quasilyte/go-ruleguard/dsl"

// deferredError refuses `defer f(err)`: err is evaluated at the defer, where it is nil, so a
// broken stream looks like a clean end. It stood in gardener/etcd-backup-restore for years.
func deferredError(m dsl.Matcher) {
	m.Match(`defer $f($err)`, `defer $f($err, $*_)`, `defer $f($*_, $err)`, `defer $f($_, $err, $_)`, `defer $f($_, $err, $*_)`).
		Where(m["err"].Type.Is(`error`) && m["err"].Node.Is(`Ident`)).
		Report(`$err is evaluated at the defer, where it is still nil: use a closure`)
}
