// Package test holds what is true of the repository as a whole.
package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/snapshot"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// sources calls see with each Go file of the module.
func sources(t *testing.T, see func(path string, file *ast.File)) {
	t.Helper()
	for _, top := range []string{"../cmd", "../jobs", "../storage", "."} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.Contains(path, "testdata") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err == nil {
				see(path, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryFaultHasItsTest(t *testing.T) {
	there := map[string]bool{}
	sources(t, func(_ string, file *ast.File) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				there[f.Name.Name] = true
			}
		}
	})
	text, err := os.ReadFile("FAULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 40 {
		t.Fatalf("FAULTS.md names %d tests, want at least 40", len(named))
	}
	for _, n := range named {
		if !there[n[1]] {
			t.Errorf("FAULTS.md names %s, which is nowhere", n[1])
		}
	}
}

// Invariant 7, by the types: what a job is not given it cannot leak or use.
func TestSnapshotCannotHoldAnIdentityOrDelete(t *testing.T) {
	var look func(ty reflect.Type, seen map[reflect.Type]bool)
	look = func(ty reflect.Type, seen map[reflect.Type]bool) {
		if seen[ty] {
			return
		}
		seen[ty] = true
		switch ty.Kind() {
		case reflect.Struct:
			for f := range ty.Fields() {
				look(f.Type, seen)
			}
		case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
			look(ty.Elem(), seen)
		default:
		}
	}
	seen := map[reflect.Type]bool{}
	look(reflect.TypeFor[snapshot.Config](), seen)
	if seen[reflect.TypeFor[archive.Identities]()] || !seen[reflect.TypeFor[archive.Recipients]()] {
		t.Error("snapshot.Config holds identities, or no recipients")
	}
	for _, ty := range []reflect.Type{reflect.TypeFor[*catalog.Catalog](), reflect.TypeFor[*bucket.Bucket]()} {
		for m := range ty.Methods() {
			if regexp.MustCompile(`(?i)delete|remove|overwrite`).MatchString(m.Name) {
				t.Errorf("%s has %s, and snapshot with it", ty, m.Name)
			}
		}
	}
}

// Invariant 14: bbolt and etcd's server are met in dbfile alone (scripts/imports.sh), and there
// only behind Serve, which is the child's.
func TestDatabaseFilesAreOpenedByTheChildAlone(t *testing.T) {
	callers := map[string][]string{}
	sources(t, func(path string, file *ast.File) {
		if !strings.HasPrefix(path, "../jobs/etcd/dbfile/") || strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					callers[called(call)] = append(callers[called(call)], f.Name.Name)
				}
				return true
			})
		}
	})
	for callee, want := range map[string][]string{
		"bolt.Open": {"openReadOnly"}, "openReadOnly": {"inspect"}, "inspect": {"serveInspect"}, "serveInspect": {"Serve"},
		"snapshot.NewV3": {"serveRestore"}, "serveRestore": {"Serve"}, "embed.StartEtcd": {"serveBoot"}, "serveBoot": {"Serve"}, "Serve": nil,
	} {
		if !reflect.DeepEqual(callers[callee], want) {
			t.Errorf("%s is called by %q, want %q", callee, callers[callee], want)
		}
	}
}

func called(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok {
			return x.Name + "." + fun.Sel.Name
		}
	}
	return ""
}
