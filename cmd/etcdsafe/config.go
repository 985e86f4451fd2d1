package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) configCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "config",
		Short: "the settings in force and where each came from, secrets masked",
		Args:  args(0, 0),
		RunE:  func(*cobra.Command, []string) error { return c.config() },
	}
	s.Flags(cmd.Flags(), &s.Common, &s.Store, &s.Job, &s.Etcd, &s.Lock, &s.Keys, &s.Spool, &s.Past)
	s.PrefixedFlags(cmd.Flags(), &s.Snapshot, &s.Verify, &s.Restore, &s.Copy, &s.Prune, &s.Defrag, &s.Cron, &s.Hold, &s.List, &s.Break)
	return cmd
}

// config prints the settings also where something is wrong with them; then the faults follow.
func (c *cli) config() error {
	faults := c.load(clusterIsValid, storesAreKnown, endpointsAreKnown)
	if c.set.Output.Get() == "json" {
		text, err := json.Marshal(c.set.Origins())
		if err != nil {
			return errors.Join(faults, fmt.Errorf("encode settings: %w", err))
		}
		if err := c.printJSON(text); err != nil {
			return errors.Join(faults, err)
		}
		return faults
	}
	t := &table{}
	t.row("SETTING", "VALUE", "FROM")
	for _, o := range c.set.Origins() {
		from := o.From
		if from == "" {
			from = o.Layer.String()
		}
		t.row(o.Name, o.Value, from)
	}
	if _, err := c.stdout.Write(t.bytes()); err != nil {
		return errors.Join(faults, err)
	}
	return faults
}
