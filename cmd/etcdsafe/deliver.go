package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
)

// maxTermination is what Kubernetes keeps of a termination message, in bytes.
const maxTermination = 4096

// deliver writes a job's report to stdout, and as JSON to the report file, to Kubernetes'
// termination log and to Airflow's XCom file, each where it is wanted or there.
func (c *cli) deliver(out outcome) error {
	h := out.head()
	h.Error = settings.Mask(h.Error)
	for i := range h.Warnings {
		h.Warnings[i] = settings.Mask(h.Warnings[i])
	}
	text, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	return errors.Join(
		c.print(out, text),
		c.deliverFile(text),
		c.deliverTermination(text),
		c.deliverXcom(text),
	)
}

// print writes the report in the form asked for.
func (c *cli) print(out outcome, text []byte) error {
	if c.set.Output.Get() == "json" {
		return c.printJSON(text)
	}
	t := &table{}
	if out.head().DryRun {
		t.line("DRY RUN: nothing was changed. What would be done:")
	}
	out.text(t)
	for _, w := range out.head().Warnings {
		t.line("WARNING: %s", w)
	}
	if _, err := c.stdout.Write(t.bytes()); err != nil {
		return fmt.Errorf("write report to stdout: %w", err)
	}
	return nil
}

func (c *cli) printJSON(text []byte) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, text, "", "  "); err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	pretty.WriteByte('\n')
	if _, err := c.stdout.Write(pretty.Bytes()); err != nil {
		return fmt.Errorf("write report to stdout: %w", err)
	}
	return nil
}

func (c *cli) deliverFile(text []byte) error {
	path := string(c.set.ReportFile.Get())
	if path == "" {
		return nil
	}
	return replaceFile(path, append(bytes.Clone(text), '\n'))
}

// document writes what list and show found: as JSON where that is asked for, and to the report file.
func (c *cli) document(doc any, text func(t *table)) error {
	raw, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	written := c.deliverFile(raw)
	if c.set.Output.Get() == "json" {
		return errors.Join(c.printJSON(raw), written)
	}
	t := &table{}
	text(t)
	_, err = c.stdout.Write(t.bytes())
	return errors.Join(err, written)
}

// deliverTermination writes over the file that the kubelet made; it makes none.
func (c *cli) deliverTermination(text []byte) error {
	f, err := os.OpenFile(string(c.set.TerminationLog.Get()), os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, fs.ErrNotExist) || c.set.TerminationLog.Get() == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write termination log: %w", err)
	}
	_, err = f.Write(shorten(text, maxTermination))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write termination log: %w", err)
	}
	return nil
}

// deliverXcom writes Airflow's file where its folder is there.
func (c *cli) deliverXcom(text []byte) error {
	path := string(c.set.XcomFile.Get())
	if path == "" || !isFolder(filepath.Dir(path)) {
		return nil
	}
	return replaceFile(path, text)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// replaceFile writes a file at once: readers see the old one or the new one. What is there and no
// plain file, such as /dev/stdout, a pipe or a link, is written to as it is, and never replaced.
func replaceFile(path string, text []byte) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(path, text)
	}
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Chmod(0o644), part.Sync(), part.Close()); err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write report %q: %w", path, err), os.Remove(part.Name()))
	}
	return nil
}

func writeInto(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write report %q: %w", path, err)
	}
	return nil
}

// verdictFields are what a shortened report keeps, whatever else must go.
var verdictFields = []string{"job", "result", "cause", "exitCode", "committed", "cluster", "started", "finished", "error"}

// shorten returns a JSON document of at most most bytes: text as it is where that fits, else
// without its longest fields, one after another, and at last with its texts cut. Who failed and
// how always stays.
func shorten(text []byte, most int) []byte {
	if len(text) <= most {
		return text
	}
	var doc map[string]json.RawMessage
	if json.Unmarshal(text, &doc) != nil {
		return []byte("{}")
	}
	doc["shortened"] = json.RawMessage("true")
	for {
		if short := encoded(doc); len(short) <= most {
			return short
		}
		field := longest(doc)
		if slices.Contains(verdictFields, field) {
			break
		}
		delete(doc, field)
	}
	for range 8 * len(verdictFields) {
		if short := encoded(doc); len(short) <= most {
			return short
		}
		field := longest(doc)
		doc[field] = halved(doc[field])
	}
	return []byte("{}")
}

func encoded(doc map[string]json.RawMessage) []byte {
	short, err := json.Marshal(doc)
	if err != nil {
		return []byte("{}")
	}
	return short
}

// longest is the field that takes most bytes; one that must stay only where no other is left.
func longest(doc map[string]json.RawMessage) string {
	weigh := func(field string) int {
		if slices.Contains(verdictFields, field) || field == "shortened" {
			return len(doc[field]) - 1<<30
		}
		return len(doc[field])
	}
	return slices.MaxFunc(slices.Collect(maps.Keys(doc)), func(a, b string) int { return cmp.Compare(weigh(a), weigh(b)) })
}

// halved cuts a JSON string in the middle; what is no string goes.
func halved(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return json.RawMessage("null")
	}
	text = text[:len(text)/2]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	out, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage("null")
	}
	return out
}
