package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// These are set by the linker in a release (-X main.releaseVersion=…).
var (
	releaseVersion = "dev"
	releaseCommit  = ""
	releaseDate    = ""
)

func version() string { return releaseVersion }

// tool is what manifests and receipts say wrote them.
func tool() catalog.Tool { return catalog.Tool{Version: releaseVersion, Commit: releaseCommit} }

// build is what version prints.
type build struct {
	Version    string `json:"version"`
	Commit     string `json:"commit"`
	Date       string `json:"date"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	EtcdClient string `json:"etcdClient"`
	EtcdServer string `json:"etcdServer"`
}

func thisBuild() build {
	b := build{Version: releaseVersion, Commit: releaseCommit, Date: releaseDate, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "go.etcd.io/etcd/client/v3":
			b.EtcdClient = m.Version
		case "go.etcd.io/etcd/server/v3":
			b.EtcdServer = m.Version
		}
	}
	return b
}

func (c *cli) versionCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "version, commit, and what it was built with",
		Args:  args(0, 0),
		RunE:  func(*cobra.Command, []string) error { return c.version(form) },
	}
	cmd.Flags().StringVarP(&form, "output", "o", "text", "text, json or yaml")
	return cmd
}

func (c *cli) version(form string) error {
	b := thisBuild()
	switch form {
	case "text":
		_, err := fmt.Fprintf(c.stdout, "etcdsafe %s\ncommit %s\ndate %s\n%s %s\netcd client %s, server library %s\n", b.Version, b.Commit, b.Date, b.Go, b.Platform, b.EtcdClient, b.EtcdServer)
		return err
	case "json":
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		return c.printJSON(text)
	case "yaml":
		text, err := yaml.Marshal(b)
		if err != nil {
			return err
		}
		_, err = c.stdout.Write(text)
		return err
	}
	return usageError(fmt.Errorf("--output: %q is none of text, json, yaml", form))
}
