// Package snapshot has the commands that save the whole store as a file, inspect one,
// and make a group of one.
package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"laurel/backup"
	"laurel/client"
	"laurel/fsm/archive"
	"laurel/internal/cli"
)

// NewCommand returns laurel snapshot.
func NewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Save the whole store as a file, look into one, and make a group of one",
	}
	c.AddCommand(newSaveCommand(), newInspectCommand(), newRestoreCommand())
	return c
}

func newSaveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "save FILE|DIR|-",
		Short: "Save a snapshot of the whole store as a file",
		Long: `Saves a snapshot of the store of a running group. It has every event that was acknowledged before, and is one
state of the store, while bards post on. It is verified while it is read, written beside FILE, and then takes
its place: under the name of FILE there is a whole snapshot or what was there before, whenever this command
ends. A DIR gets a file named laurel-STORE-REVISION-UTC.snap.gz. With - the snapshot goes to the standard
output: use it only if the exit code is 0.

An operator's token is needed. The file has the hashes of tokens and the whole audit trail, so only you can
read it. It has no private key: keep those of operators and bards elsewhere.`,
		Example: `  laurel snapshot save /var/backups/laurel/
  laurel snapshot save - | ssh vault 'cat > laurel.snap.gz'`,
		Args: cobra.ExactArgs(1),
	}
	cli.NoEnvironment(c.Flags())
	target := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := target.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		return save(cmd, c, args[0])
	}
	return c
}

func save(cmd *cobra.Command, c *client.Client, to string) error {
	if to == "-" {
		if _, shown := cli.Terminal(cmd.OutOrStdout()); shown {
			return cli.Usagef("a terminal cannot show a snapshot; want a FILE, a DIR, or a pipe behind -")
		}
		_, err := fetch(cmd, c, cli.Verbatim(cmd.OutOrStdout()))
		return err
	}
	dir, isDir := filepath.Dir(to), false
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		dir, isDir = to, true
	}
	f, err := os.CreateTemp(dir, ".laurel-snapshot-*") // for its owner only
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := fetch(cmd, c, f)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if isDir {
		to = filepath.Join(dir, backup.File{Store: info.Lineage, Revision: info.Revision, Time: info.Time}.Name())
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "saved %s: revision %d of the store %s, %d events\n",
		to, info.Revision, info.Lineage, info.Events)
	return err
}

// fetch writes a snapshot file of the group to w, and verifies it.
func fetch(cmd *cobra.Command, c *client.Client, w io.Writer) (archive.Info, error) {
	body, err := c.Snapshot(cmd.Context())
	if err != nil {
		return archive.Info{}, err
	}
	defer body.Close()
	out := bufio.NewWriterSize(w, 1<<16)
	info, err := archive.Inspect(io.TeeReader(body, out))
	if err != nil {
		return info, fmt.Errorf("the frontend's answer is no whole snapshot: %w", err)
	}
	return info, out.Flush()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newInspectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect FILE|-",
		Short: "Verify a snapshot file and show what is in it",
		Long: `Reads a whole snapshot file, verifies all its checksums, and shows of which store it is and what it has. It
asks no frontend. Exit code 1 means that the file is truncated, damaged or no snapshot, and the error says
which.

The digest is that of the state: two files with the same digest have the same state, whenever they were taken.`,
		Example: `  laurel snapshot inspect laurel.snap.gz
  laurel snapshot inspect --json laurel.snap.gz`,
		Args: cobra.ExactArgs(1),
	}
	asJSON := c.Flags().Bool("json", false, "print JSON instead of a table")
	cli.NoEnvironment(c.Flags())
	c.RunE = func(cmd *cobra.Command, args []string) error {
		in := cmd.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		info, err := archive.Inspect(in)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if *asJSON {
			return cli.WriteJSON(cmd.OutOrStdout(), &info)
		}
		return show(cmd.OutOrStdout(), &info)
	}
	return c
}

// show prints what is in a snapshot file.
func show(out io.Writer, i *archive.Info) error {
	kind := "insecure"
	switch {
	case i.Sworn:
		kind = "sworn"
	case i.Secure:
		kind = "secure"
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]any{
		{"store", i.Lineage},
		{"incarnation", i.Incarnation},
		{"revision", i.Revision},
		{"taken", i.Time.Format(time.RFC3339)},
		{"events", i.Events},
		{"contests", i.Contests},
		{"sources", i.Sources},
		{"grants", i.Grants},
		{"group", kind},
		{"log entry", i.Index},
		{"format", i.Format},
		{"bytes", i.Size},
		{"digest", "sha256:" + i.Digest},
	} {
		fmt.Fprintf(t, "%s\t%v\n", row[0], row[1])
	}
	return t.Flush()
}
