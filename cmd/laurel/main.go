// Command laurel keeps scores: it runs the frontends that take events and answer for them, and asks them.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"laurel/internal/cli"
)

func main() {
	os.Exit(cli.Main(newLaurelCommand()))
}

func newLaurelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "laurel",
		Short: "Keep scores that nobody loses and everybody sees",
		Long: `Laurel takes what bards report of contests and answers for the scores, at every frontend of a group, without losing an event or
counting one twice.

A flag that is not typed is taken from the environment variable that its help names.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 no frontend could be reached; of a frontend also 4, its disk failed,
5, it was removed from the group, and 6, its data directory contradicts the group: see laurel frontend --help.`,
		Example: `  laurel demo
  laurel frontend --id f1 --data /var/lib/laurel --http 127.0.0.1:8001 --peer 127.0.0.1:9001 --bootstrap
  laurel scores --competition OG50BC
  laurel cluster status`,
		Version: cli.Version(),
	}
	c.AddCommand(newFrontendCommand(), newDemoCommand(), newScoresCommand(), newMedalsCommand(), newLeaderboardCommand(), newVerifyCommand(), newWatchCommand(), newClientCommand(), newClusterCommand(), newStopCommand(), newUpCommand(), newAccessCommand(), newAuditCommand())
	return c
}
