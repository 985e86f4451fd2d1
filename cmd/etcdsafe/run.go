package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

// process is what a command may know of the process that it runs in.
type process struct {
	args           []string
	env            []string
	stdin          io.Reader // asked only where it is a terminal
	stdout, stderr io.Writer
	now            func() time.Time
	random         io.Reader
	lease, watch   time.Duration // 0: the usual
	readFile       func(string) ([]byte, error)
	hangup         func() <-chan os.Signal // from its call on, SIGHUP comes there and ends nothing; nil: it ends the process
	child          dbfile.Child            // how children that open database files begin
	silence        time.Duration           // of a store, until that is told; 0: the usual one
}

// run carries out one command line and returns the exit code. It prints an error once, to
// stderr.
func run(ctx context.Context, p process) int {
	c := &cli{process: p, set: settings.New()}
	root := c.root()
	root.SetArgs(p.args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	err := stopped(ctx, root.ExecuteContext(ctx))
	if err != nil && !began && !errors.Is(err, settings.ErrConfig) {
		err = usageError(err) // one of cobra's own, before any command began
	}
	if !c.ended {
		c.complain(err)
		c.code = exitCode(err, "")
	}
	return c.code
}

// cli is one command line being carried out.
type cli struct {
	process
	set *settings.Settings
	log *slog.Logger // a job's; nil: none began
	// patience is for how long a run waits for the lock before it stands back; cron gives it to its runs.
	patience time.Duration
	code     int
	ended    bool // code is settled and an error was printed
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "etcdsafe",
		Version: version(),
		Short:   "Keeps etcd recoverable: proven, encrypted snapshots, and the way back",
		Long: "etcdsafe takes snapshots of etcd, proves them against the live member, encrypts them, stores them,\n" +
			"reads them back, verifies them again, and restores them.\n\n" +
			"Each flag --x-y is also ETCDSAFE_X_Y in the environment and xY in a file given by --config.\n" +
			"`etcdsafe config` prints what is in force and where it came from.",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError(fmt.Errorf("unknown command %q%s", args[0], suggest(cmd.SuggestionsFor(args[0]))))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand(root))
	defer refuseUnknownShells(root)
	root.AddCommand(c.snapshotCommand(), c.verifyCommand(), c.restoreCommand(), c.listCommand(), c.showCommand(), c.copyCommand(), c.pruneCommand(), c.defragCommand(), c.runCommand(), c.cronCommand(), c.healthcheckCommand(), c.statusCommand(), c.doctorCommand(),
		c.holdCommand(), c.releaseCommand(), c.acceptCommand(), c.lockCommand(),
		c.keygenCommand(), c.demoCommand(), c.configCommand(), c.versionCommand())
	return root
}

// helpCommand is cobra's, but that it fails where there is nothing to tell.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "help about a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError(fmt.Errorf("unknown command %q%s", strings.Join(args, " "), suggest(root.SuggestionsFor(args[0]))))
			}
			return cmd.Help()
		},
	}
}

// refuseUnknownShells makes `completion SHELL` fail for a shell that cobra does not know.
func refuseUnknownShells(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = args(0, 0), func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// usageError is a fault of the command line itself.
func usageError(err error) error { return fmt.Errorf("%w: %w", settings.ErrConfig, err) }

// flagError adds the nearest flag to what the parser says.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError(err)
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return usageError(fmt.Errorf("unknown flag --%s of %s%s", unknown.GetSpecifiedName(), cmd.Name(), settings.DidYouMean(unknown.GetSpecifiedName(), names)))
}

func suggest(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; nearest is " + names[0]
}

// args is cobra's RangeArgs, with our exit code.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError(fmt.Errorf("%s takes %s: %s", cmd.Name(), count(least, most), cmd.UseLine()))
		}
		return nil
	}
}

func count(least, most int) string {
	switch {
	case most == 0:
		return "no argument"
	case least == most:
		return fmt.Sprintf("%d argument", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// complain prints an error: each fault of a configuration on a line of its own.
func (c *cli) complain(err error) {
	if err == nil {
		return
	}
	var faults settings.Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			fmt.Fprintf(c.stderr, "etcdsafe: %s\n", settings.Mask(jobs.OneLine(f)))
		}
		return
	}
	fmt.Fprintf(c.stderr, "etcdsafe: %s\n", settings.Mask(jobs.OneLine(err)))
}

// load reads all layers of the settings and checks them.
func (c *cli) load(checks ...settings.Check) error {
	c.set.Load(c.env, c.readFile)
	return c.set.Validate(checks...)
}
