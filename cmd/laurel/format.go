package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/operator"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
)

func newFormatCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "format [show|hold|raise]",
		Short: "Show, hold or raise the format of the group",
		Long: `A group has a format: that of its log, its snapshots and its settings. Each version of laurel reads some
formats and writes that of the group. What a version has added is there when the group has its format.

show says which format the group has, which ones its frontends read, and who keeps it from being raised.

raise raises it to the latest one that all frontends read, and ends a hold. Without it the master does so
when all have said for a minute that they read it. In a sworn group an operator must do it. Afterwards no
frontend can go back to a version that does not read the format.

hold keeps the format as it is. Format 1 cannot be held: start a frontend with --max-format 1 instead.`,
		Example: `  laurel cluster format
  laurel cluster format hold
  laurel cluster format raise`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"show", "hold", "raise"},
	}
	return operator.Command(c, func(cmd *cobra.Command, args []string, c *client.Client, k *operator.Key) error {
		group, err := c.Frontends(cmd.Context())
		if err != nil {
			return err
		}
		if group.Format == 0 {
			return errors.New("the frontend that was asked has no group, or a version that knows no formats; " +
				"name an updated one with --to")
		}
		set := func(name, value string) error { return changeSetting(cmd.Context(), c, k, name, value) }
		switch {
		case len(args) == 0 || args[0] == "show":
			return showFormat(cmd.OutOrStdout(), group)
		case args[0] == "hold":
			err := set(access.SettingFormatHold, "true")
			if score.CodeOf(err) == score.UnsupportedFormat {
				err = fmt.Errorf("%w; to hold it, start a frontend with --max-format %d", err, group.Format)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the format of the group is held at %d\n", group.Format)
			return err
		}
		return raiseFormat(cmd.OutOrStdout(), group, set)
	})
}

// changeSetting changes a setting, with an operator's signature if there is a key.
func changeSetting(ctx context.Context, c *client.Client, k *operator.Key, name, value string) error {
	if k.Given() {
		return k.Change(ctx, c, access.Change{Setting: &access.Setting{Name: name, Value: value}})
	}
	return c.ChangeSetting(ctx, name, value)
}

// raiseFormat raises the group to the latest format that its frontends read.
func raiseFormat(w io.Writer, group score.Frontends, set func(name, value string) error) error {
	to := latestFormat(group)
	if to <= group.Format {
		if behind := cannotRead(group, group.Format+1); len(behind) > 0 && someRead(group, group.Format+1) {
			return fmt.Errorf("the format of the group stays %d: %s", group.Format, strings.Join(behind, ", "))
		}
		_, err := fmt.Fprintf(w, "the group has format %d, and its frontends read none that is later\n", group.Format)
		return err
	}
	if group.FormatHeld {
		if err := set(access.SettingFormatHold, "false"); err != nil {
			return err
		}
	}
	if err := set(access.SettingFormat, strconv.FormatUint(to, 10)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "the group has format %d\n", to)
	return err
}

// latestFormat returns the latest format that all frontends read; 0 if one does not answer.
func latestFormat(group score.Frontends) uint64 {
	if len(group.Frontends) == 0 {
		return 0
	}
	return slices.MinFunc(group.Frontends, func(a, b score.Frontend) int {
		return int(a.NewestFormat) - int(b.NewestFormat)
	}).NewestFormat
}

// someRead reports whether any frontend reads a format.
func someRead(group score.Frontends, format uint64) bool {
	return slices.ContainsFunc(group.Frontends, func(f score.Frontend) bool { return f.NewestFormat >= format })
}

// cannotRead says of each frontend that does not read a format why.
func cannotRead(group score.Frontends, format uint64) (reasons []string) {
	for _, f := range group.Frontends {
		switch id := textfmt.OneLine(f.ID); {
		case f.NewestFormat == 0:
			reasons = append(reasons, id+" does not answer")
		case f.NewestFormat < format:
			reasons = append(reasons, fmt.Sprintf("%s reads formats up to %d", id, f.NewestFormat))
		}
	}
	return reasons
}

func showFormat(w io.Writer, group score.Frontends) error {
	state := ""
	next := group.Format + 1
	behind := cannotRead(group, next)
	switch {
	case group.FormatHeld:
		state = ", which is held"
	case !someRead(group, next):
	case len(behind) > 0:
		state = fmt.Sprintf("; it is not raised to %d: %s", next, strings.Join(behind, ", "))
	default:
		state = fmt.Sprintf("; all frontends read format %d, to which it is raised next", latestFormat(group))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "the group has format %d%s\n\n", group.Format, state)
	t := textfmt.NewTable("ID", "VERSION", "READS FORMATS")
	for _, f := range group.Frontends {
		formats := "does not answer"
		if f.NewestFormat > 0 {
			formats = fmt.Sprintf("%d to %d", f.OldestFormat, f.NewestFormat)
		}
		t.Row(f.ID, cmp.Or(f.Version, "-"), formats)
	}
	t.Write(&b)
	_, err := w.Write(b.Bytes())
	return err
}
