package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/operator"
	"laurel/internal/cli"
	"laurel/trust/access"
)

func newSetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "set NAME=VALUE...",
		Short: "Change settings of the group",
		Long: `Changes settings, one after the other, and stops at the first that the group refuses. Each change is a
line in the audit trail. laurel cluster settings explains the settings.

When a switch to cache_mode=pull is confirmed, no frontend answers in push mode. With private=true, each
frontend ends the watchers that have no reader's token.`,
		Example: `  laurel cluster set private=true
  laurel cluster set cache_mode=pull --to http://127.0.0.1:8002`,
		Args: cobra.MinimumNArgs(1),
	}
	return operator.Command(c, func(cmd *cobra.Command, args []string, c *client.Client, k *operator.Key) error {
		var wanted []access.Setting
		for _, arg := range args {
			name, value, ok := strings.Cut(arg, "=")
			if !ok || name == "" {
				return cli.Usagef("got %q; want NAME=VALUE, such as private=true", arg)
			}
			wanted = append(wanted, access.Setting{Name: name, Value: value})
		}
		return changeSettings(cmd, c, k, wanted)
	})
}

// changeSettings changes settings one after the other, signed if there is a key.
func changeSettings(cmd *cobra.Command, c *client.Client, k *operator.Key, wanted []access.Setting) error {
	before, err := c.Settings(cmd.Context())
	if err != nil {
		return err
	}
	for _, s := range wanted {
		if err := changeSetting(cmd.Context(), c, k, s.Name, s.Value); err != nil {
			return fmt.Errorf("change %s: %w", s.Name, err)
		}
		already := ""
		if slices.Contains(before, s) {
			already = " already"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is %s%s\n", s.Name, s.Value, already)
	}
	return nil
}
