package main

import (
	"time"

	"github.com/spf13/cobra"

	"laurel/internal/cli"
	"laurel/score"
)

func newDefineCommand() *cobra.Command {
	c := &cobra.Command{Use: "define", Short: "Define or redefine a competition or a contest"}
	c.AddCommand(newDefineCompetitionCommand(), newDefineContestCommand())
	return c
}

func newDefineCompetitionCommand() *cobra.Command {
	d := &score.CompetitionDefine{}
	v := newEventCommand("competition COMPETITION", "Define a competition",
		`  bard define competition OG50BC --name "Games of 50 BC"
  bard define competition OG50BC --name "Games of 50 BC" --neutral PIR,AMA`,
		score.TypeCompetitionDefine, d, &d.Comment)
	v.Flags().StringVar(&d.Name, "name", "", "its name")
	v.Flags().StringSliceVar(&d.Neutral, "neutral", nil, "organisations that are not ranked in the medal table")
	return v.done()
}

func newDefineContestCommand() *cobra.Command {
	d := &score.ContestDefine{}
	v := newEventCommand("contest CONTEST", "Define a contest, or redefine it and keep its results",
		`  bard define contest OG50BC/CUR-1 --kind head_to_head --sport stone-curling --title "Gaul vs Rome" \
      --competitor GAU,name=Gaul,organisation=GAU,type=T --competitor ROM,name=Rome,organisation=ROM,type=T
  bard define contest OG50BC/FTB-9 --kind head_to_head --sport football --tiebreak-periods PSO \
      --competitor GAU --competitor EGY
  bard define contest OG50BC/MAR --kind ranked --sport athletics --result-type TIME --unit min --splits 10k,finish`,
		score.TypeContestDefine, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.Kind, "kind", "", "head_to_head or ranked (required)")
	flags.StringVar(&d.Sport, "sport", "", "the sport (required)")
	flags.Var(entrantsFlag{&d.Competitors}, "competitor",
		"a competitor; repeat it for each, in their order (default: the first mark of a competitor adds it)")
	for _, text := range []struct {
		p           *string
		name, usage string
	}{
		{&d.Title, "title", "the title"},
		{&d.CompetitionName, "competition-name", "the name of the competition"},
		{&d.Discipline, "discipline", "the discipline"},
		{&d.Event, "event", "the sports event of the contest"},
		{&d.Phase, "phase", "the phase, such as final"},
		{&d.Group, "group", "the group"},
		{&d.Gender, "gender", "the gender"},
		{&d.Venue, "venue", "the venue"},
		{&d.ResultType, "result-type", "POINTS, TIME or DISTANCE"},
		{&d.Unit, "unit", "the unit of results"},
		{&d.Sort, "sort", "asc if the lowest result is best, or desc"},
	} {
		flags.StringVar(text.p, text.name, "", text.usage)
	}
	flags.StringSliceVar(&d.Splits, "splits", nil, "the splits of a ranked contest, in order; the last one decides")
	flags.StringSliceVar(&d.TiebreakPeriods, "tiebreak-periods", nil,
		"periods that are counted separately and decide only a tie")
	flags.IntVar(&d.MedalEvent, "medal-event", 0, "1 to 9 if medals are awarded, 0 if not")
	start := flags.String("start-time", "", "scheduled start, such as 2026-02-09T10:00:00Z")
	v.PreRunE = func(*cobra.Command, []string) error {
		if *start == "" {
			return nil
		}
		var err error
		if d.StartTime, err = time.Parse(time.RFC3339, *start); err != nil {
			return cli.Usagef("--start-time is %q; want RFC 3339, such as 2026-02-09T10:00:00Z", *start)
		}
		return nil
	}
	return v.done()
}
