// Command laurel runs the frontends of a live scoreboard store and is their command line
// client.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"laurel/cmd/laurel/debugzip"
	"laurel/cmd/laurel/doctor"
	"laurel/cmd/laurel/export"
	"laurel/cmd/laurel/operator"
	"laurel/cmd/laurel/page"
	"laurel/cmd/laurel/snapshot"
	"laurel/internal/cli"
)

func main() {
	os.Exit(cli.Main(newLaurelCommand()))
}

func newLaurelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "laurel",
		Short: "A live scoreboard store that loses no event and is never stale",
		Long: `Laurel stores the events of sports contests and serves the scores, medals and leaderboards that follow
from them. Every frontend of a group answers from memory. No acknowledged event is lost or counted
twice.

You can set flags by environment variables, too: the help of a command names them.

Exit codes: 0 done; 1 refused, failed, or perhaps done (outcome_unknown); 2 wrong usage; 3 no frontend could be
reached, and what was not reported as done was not sent, or nothing that can be verified. A frontend also ends with 4, 5, 6,
8 and 9: see laurel frontend --help.`,
		Example: `  laurel demo
  laurel frontend --id f1 --data /var/lib/laurel --http 127.0.0.1:8001 --peer 127.0.0.1:9001 --bootstrap
  laurel scores --competition OG50BC
  laurel cluster status`,
		Version: cli.Version(),
	}
	c.AddCommand(
		newFrontendCommand(), newDemoCommand(), newUpCommand(), newStopCommand(),
		newScoresCommand(), newMedalsCommand(), newLeaderboardCommand(), newWatchCommand(), newVerifyCommand(),
		newClusterCommand(), newAuthorityCommands(), newAccessCommand(), newAuditCommand(),
		operator.NewCommand(), newRosterCommand(),
		operator.NewPolicyCommand(), page.NewCommand(), doctor.NewCommand(), debugzip.NewCommand(), export.NewCommand(),
		snapshot.NewCommand(),
		newClientCommand(), newVersionCommand(),
	)
	return c
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: `  laurel version`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "laurel %s, %s %s/%s\n",
				cli.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
