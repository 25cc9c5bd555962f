package main

import (
	"github.com/spf13/cobra"

	"laurel/client"
)

func newMedalsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "medals COMPETITION [ORGANISATION]",
		Short: "Show a medal table, or one row of it",
		Example: `  laurel medals OG50BC
  laurel medals OG50BC GAU
  laurel medals OG50BC --json`,
		Args: cobra.RangeArgs(1, 2),
	}
	ask := addAsk(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		organisation := ""
		if len(args) == 2 {
			organisation = args[1]
		}
		return ask.print(cmd, client.MedalsPath(args[0], organisation), nil)
	}
	return c
}
