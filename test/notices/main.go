// Command notices prints the licence texts of all that a Go binary was linked from: its modules,
// as the binary itself names them, and Go's own library.
//
//	binary ─ buildinfo ─▶ modules ─ go mod download ─▶ folders ─▶ LICENSE*, NOTICE*, COPYING* ─▶ stdout
//
// It ends with 1 where a module has none, so that a release cannot lack one. It runs in the main
// module's folder, whose go.sum the modules must fit.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 2 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintln(os.Stderr, "usage: go run ./test/notices BINARY > NOTICES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(binary string, out io.Writer) error {
	parts, err := linked(binary)
	if err != nil {
		return err
	}
	text, err := notices(parts)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// goItself is the name of the part that is Go's own library.
const goItself = "Go"

// part is a module in the binary, and the folder with its sources.
type part struct{ Path, Version, Dir string }

// linked are the parts of a binary, Go's own library first.
func linked(binary string) ([]part, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read what %s was linked from: %w", binary, err)
	}
	ask := []string{"mod", "download", "-json"}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		ask = append(ask, m.Path+"@"+m.Version)
	}
	root, err := goCommand("env", "GOROOT")
	if err != nil {
		return nil, err
	}
	parts := []part{{goItself, info.GoVersion, strings.TrimSpace(string(root))}}
	if len(info.Deps) == 0 {
		return parts, nil
	}
	answer, err := goCommand(ask...)
	if err != nil {
		return nil, err
	}
	for in := json.NewDecoder(bytes.NewReader(answer)); ; {
		var p part
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return parts, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what go mod download says: %w", err)
		}
		parts = append(parts, p)
	}
}

func goCommand(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return out, nil
}

// notices has each text once, below the names of all that it belongs to. The error names each
// part without one.
func notices(parts []part) ([]byte, error) {
	var texts []string
	owners := map[string][]string{}
	var faults []error
	for _, p := range parts {
		files, err := p.licences()
		if err == nil && len(files) == 0 {
			err = errors.New("has no licence file")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", p.Path, p.Version, err))
			continue
		}
		for _, name := range files {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			key := strings.TrimSpace(string(text))
			if owners[key] == nil {
				texts = append(texts, key)
			}
			owners[key] = append(owners[key], fmt.Sprintf("%s %s: %s", p.Path, p.Version, filepath.ToSlash(name)))
		}
	}
	var b bytes.Buffer
	for _, text := range texts {
		fmt.Fprintf(&b, "==== %s\n\n%s\n\n", strings.Join(owners[text], "\n==== "), text)
	}
	return b.Bytes(), errors.Join(faults...)
}

var isLicence = regexp.MustCompile(`(?i)^(un)?(licen[sc]e|notice|copying|copyright|patents)([.-].*)?$`)

// licences are the files with licence texts below a module's folder: what was taken from others
// has its own beside it. Of Go itself those at its root hold for all of its library.
func (p part) licences() ([]string, error) {
	var found []string
	err := filepath.WalkDir(p.Dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != p.Dir && (p.Path == goItself || e.Name() == "testdata" || e.Name()[0] == '.'):
			return fs.SkipDir
		case !e.IsDir() && isLicence.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go"):
			rel, err := filepath.Rel(p.Dir, path)
			found = append(found, rel)
			return err
		}
		return nil
	})
	return found, err
}
