package settings

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what a setting can be. A string is free text; the types of this package have rules of their own. Numbers,
// sizes and durations are never negative.
type Kind interface {
	string | bool | int64 | time.Duration | time.Time | []string |
		Bytes | Choice | Endpoints | Labels | Owner | Path | Schedules | Secret | Subset | URLs | User
}

// decode reads g into what into points at, and leaves it as it was where g has a fault. Kinds that grow are added to.
func decode(g given, into any, a *about) error {
	switch v := into.(type) {
	case *string:
		return read(v, g, parseText)
	case *Path:
		return read(v, g, parsePath)
	case *User:
		return read(v, g, parseUser)
	case *Secret:
		return read(v, g, parseSecret)
	case *Choice:
		return read(v, g, func(g given) (Choice, error) { return parseChoice(g, a.choices) })
	case *bool:
		return read(v, g, parseBool)
	case *int64:
		return read(v, g, func(g given) (int64, error) { return parseInt(g, a.positive, a.unlimited) })
	case *Bytes:
		return read(v, g, parseBytes)
	case *time.Duration:
		return read(v, g, func(g given) (time.Duration, error) { return parseDuration(g, a.positive) })
	}
	return decodeMore(g, into)
}

func decodeMore(g given, into any) error {
	switch v := into.(type) {
	case *time.Time:
		return read(v, g, parseTime)
	case *Subset:
		return read(v, g, parseSubset)
	case *Owner:
		return read(v, g, parseOwner)
	case *[]string:
		return read(v, g, func(g given) ([]string, error) { return parseList(g, *v) })
	case *Endpoints:
		return read(v, g, func(g given) (Endpoints, error) { return parseEndpoints(g, *v) })
	case *URLs:
		return read(v, g, func(g given) (URLs, error) { return parseURLs(g, *v) })
	case *Labels:
		return read(v, g, func(g given) (Labels, error) { return parseLabels(g, *v) })
	case *Schedules:
		return read(v, g, func(g given) (Schedules, error) { return parseSchedules(g, *v) })
	}
	panic(fmt.Sprintf("settings: %T is no kind", into))
}

func read[T any](into *T, g given, parse func(given) (T, error)) error {
	v, err := parse(g)
	if err == nil {
		*into = v
	}
	return err
}

// grows tells whether a flag that is given again adds to what it said before.
func grows(v any) bool {
	switch v.(type) {
	case []string, Endpoints, URLs, Labels, Schedules:
		return true
	}
	return false
}

// show is v as `config` prints it: the user's own text where that can hold no secret.
func show(v any, text string) string {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, ",")
	case Choice:
		return string(v)
	case fmt.Stringer:
		switch v.(type) {
		case time.Duration, time.Time:
			return text
		}
		return v.String()
	}
	return text
}

// placeholder is what a flag's help calls a value such as v.
func placeholder(v any, choices []string) string {
	switch v.(type) {
	case bool:
		return "bool"
	case int64:
		return "int"
	case Bytes:
		return "size"
	case time.Duration:
		return "duration"
	case time.Time:
		return "time"
	case Choice:
		return strings.Join(choices, "|")
	case Path:
		return "path"
	case []string:
		return "list"
	case Endpoints:
		return "addresses"
	case URLs:
		return "URLs"
	case Labels:
		return "key=value"
	case Schedules:
		return "jobs=schedule"
	case Owner:
		return "uid:gid"
	case Subset:
		return "n/t"
	}
	return "string"
}
