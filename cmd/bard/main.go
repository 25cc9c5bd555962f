// Command bard reports what happens in contests: a whole stream of events, or one at a time.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"laurel/internal/cli"
)

func main() {
	os.Exit(cli.Main(newBardCommand()))
}

func newBardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bard",
		Short: "Report what happens in contests",
		Long: `Posts events to Laurel: a file of them with sing, or a single one with the other commands, one for each type of event.

An event that was answered is durable. When an answer is lost, bard posts the same event again, with the same identity, so
that it counts once.

With --key every event is signed, so that anybody can check later, with laurel verify, who said it.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 no frontend could be reached.`,
		Example: `  bard sing --speed max games.ndjson.gz
  bard define contest OG50BC/CUR-1 --kind head_to_head --sport stone-curling --competitor GAU,name=Gaul --competitor ROM,name=Rome
  bard status OG50BC/CUR-1 --schedule-status RUNNING --result-status LIVE --period END1
  bard play OG50BC/CUR-1 --competitor GAU --delta 2
  bard status OG50BC/CUR-1 --schedule-status FINISHED --result-status OFFICIAL
  bard award OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --medal GOLD --organisation GAU`,
		Version: cli.Version(),
	}
	c.AddCommand(newSingCommand(), newDefineCommand(), newStatusCommand(), newPlayCommand(), newSetCommand(), newMarkCommand(),
		newAwardCommand(), newRevokeCommand(), newVoidCommand(), newAlertCommand(), newKeyCommand())
	return c
}
