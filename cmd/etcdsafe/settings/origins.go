package settings

import (
	"fmt"
	"strings"
)

// Origin is all that there is to say of one setting. Value is masked where it may hold a secret.
type Origin struct {
	Name    string   `json:"name"`           // snapshot.ifOlderThan
	Job     string   `json:"job,omitempty"`  // snapshot, where it is that job's alone
	Flag    string   `json:"flag,omitempty"` // --snapshot-if-older-than; a secret has none
	OwnFlag string   `json:"ownFlag,omitempty"`
	Env     string   `json:"env"`
	Key     string   `json:"key,omitempty"`
	Type    string   `json:"type"`
	Enum    []string `json:"enum,omitempty"`
	Value   string   `json:"value"`
	Layer   Layer    `json:"layer"`
	From    string   `json:"from,omitempty"` // what the user typed: --deadline, ETCDCTL_CERT
	Default string   `json:"default,omitempty"`
	Desc    string   `json:"desc"`
}

// Origins lists every setting in the order of the structs.
func (s *Settings) Origins() []Origin {
	var all []Origin
	for _, f := range s.fields {
		a, st := f.at().about, f.at()
		o := Origin{
			Name: a.path, Job: a.job, Env: a.env, Key: a.key, Type: f.Type(), Enum: a.choices,
			Value: st.String(), Layer: st.Layer(), Default: a.preset, Desc: a.desc,
		}
		if !a.secret {
			o.Flag, o.OwnFlag = "--"+a.flag, "--"+a.own
		}
		if st.IsSet() {
			o.From = st.Name()
		}
		all = append(all, o)
	}
	return all
}

// Table is the README's table of settings, in Markdown.
func Table() string {
	var out strings.Builder
	out.WriteString("| flag | environment | file | default | what it is |\n|---|---|---|---|---|\n")
	for _, o := range New().Origins() {
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", code(o.usage()), code(o.Env), code(o.Key), code(o.Default), o.meaning())
	}
	return out.String()
}

// usage is the flag with its job's command before it: `snapshot --if-older-than`.
func (o Origin) usage() string {
	return strings.TrimSpace(o.Job + " " + o.OwnFlag)
}

func (o Origin) meaning() string {
	desc := strings.ReplaceAll(o.Desc, "|", `\|`)
	if o.Enum != nil {
		desc += ": " + code(strings.Join(o.Enum, "`, `"))
	}
	return desc
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}
