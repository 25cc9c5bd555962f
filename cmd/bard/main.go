// Command bard posts events to Laurel: a whole stream of them, or one at a time.
//
// Begin reading at sing.go for streams, and at event.go for single events.
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
		Short: "Post events of contests to Laurel",
		Long: `Posts events to Laurel: a file of events with sing, or a single event with the other commands. There is
one for each type of event.

An event that was acknowledged is durable. If an answer is lost, bard posts the same event again with
the same identity, so that it counts once.

With --key, bard signs every event. Anybody can check the signatures later with laurel verify.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 no frontend could be reached.`,
		Example: `  bard sing --speed max games.ndjson.gz
  bard define contest OG50BC/CUR-1 --kind head_to_head --sport stone-curling --competitor GAU --competitor ROM
  bard status OG50BC/CUR-1 --schedule-status RUNNING --result-status LIVE --period END1
  bard play OG50BC/CUR-1 --competitor GAU --delta 2
  bard status OG50BC/CUR-1 --schedule-status FINISHED --result-status OFFICIAL
  bard award OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --medal GOLD --organisation GAU`,
		Version: cli.Version(),
	}
	c.AddCommand(newSingCommand(), newKeyCommand())
	c.AddCommand(newEventCommands()...)
	return c
}
