package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/storage/archive"
)

func (c *cli) keygenCommand() *cobra.Command {
	var postQuantum bool
	cmd := &cobra.Command{
		Use:   "keygen FILE",
		Short: "make an age identity, print its recipient",
		Long: "keygen writes a new age identity, the private key that opens archives, to FILE (mode 0600; an\n" +
			"existing file is never touched) and prints its recipient, the public key that archives are sealed\n" +
			"to. Keep FILE away from the store and from the machines that take snapshots.",
		Example: "  etcdsafe keygen identity.txt > recipients.txt",
		Args:    args(1, 1),
		RunE:    func(_ *cobra.Command, args []string) error { return c.keygen(args[0], postQuantum) },
	}
	cmd.Flags().BoolVar(&postQuantum, "post-quantum", false, "a hybrid ML-KEM-768 and X25519 key; cannot be mixed with classic ones")
	return cmd
}

func (c *cli) keygen(path string, postQuantum bool) error {
	identity, recipient, err := archive.GenerateIdentity(postQuantum)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usageError(fmt.Errorf("write identity: %w", err))
	}
	_, err = fmt.Fprintf(f, "# made by etcdsafe keygen\n# recipient: %s\n%s\n", recipient, identity)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write identity: %w", err), os.Remove(path))
	}
	fmt.Fprintf(c.stderr, "etcdsafe: archives sealed to it will say %s\n", archive.Fingerprint(recipient))
	_, err = fmt.Fprintln(c.stdout, recipient)
	return err
}
