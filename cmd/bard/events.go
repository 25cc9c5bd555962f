package main

import (
	"github.com/spf13/cobra"

	"laurel/score"
)

func newStatusCommand() *cobra.Command {
	d := &score.ContestStatus{}
	v := newEventCommand("status CONTEST", "Change the status, period or clock of a contest",
		`  bard status OG50BC/CUR-1 --schedule-status RUNNING --result-status LIVE --period END1
  bard status OG50BC/CUR-1 --period END2 --clock 14:30
  bard status OG50BC/CUR-1 --schedule-status FINISHED --result-status OFFICIAL`,
		score.TypeContestStatus, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.ScheduleStatus, "schedule-status", "",
		"schedule status: SCHEDULED, GETTING_READY, RUNNING, SCHEDULED_BREAK, FINISHED ...")
	flags.StringVar(&d.ResultStatus, "result-status", "", "result status: START_LIST, LIVE, UNOFFICIAL, OFFICIAL ...")
	flags.StringVar(&d.Period, "period", "", "the period")
	flags.StringVar(&d.Clock, "clock", "", "the clock")
	return v.done()
}

func newPlayCommand() *cobra.Command {
	d := &score.ScorePlay{}
	v := newEventCommand("play CONTEST", "Add to a competitor's score",
		`  bard play OG50BC/CUR-1 --competitor GAU --delta 2
  bard play OG50BC/CUR-1 --competitor GAU --delta 2 --period END1 --action END --result GAU=2,ROM=0
  bard play OG50BC/CRI-3 --competitor ROM --delta 4 --athlete "Marcus Brutus" --stats-delta runs=4,balls=1`,
		score.TypeScorePlay, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.Competitor, "competitor", "", "code of the competitor (required)")
	flags.Var(decimalFlag{&d.Delta}, "delta", "number to add, may be 0 (required)")
	flags.StringVar(&d.Period, "period", "", "the period (default the current one)")
	flags.StringVar(&d.Action, "action", "", "what happened, such as GOAL")
	flags.StringVar(&d.Clock, "clock", "", "the clock")
	flags.StringVar(&d.Athlete, "athlete", "", "the athlete")
	flags.Var(totalsFlag{&d.Result}, "result", "the totals afterwards; the event is refused if they do not match")
	flags.Var(totalsFlag{&d.StatsDelta}, "stats-delta", "numbers to add to the competitor's statistics")
	return v.done()
}

func newSetCommand() *cobra.Command {
	d := &score.ScoreSet{}
	v := newEventCommand("set CONTEST", "Set totals",
		`  bard set OG50BC/CUR-1 --result GAU=3,ROM=2
  bard set OG50BC/CUR-1 --result GAU=4 --reason "the jury measured again"`,
		score.TypeScoreSet, d, &d.Comment)
	flags := v.Flags()
	flags.Var(totalsFlag{&d.Result}, "result", "the totals (required)")
	flags.StringVar(&d.Period, "period", "", "the period that gets the difference")
	flags.StringVar(&d.Reason, "reason", "", "the reason; required once the contest is OFFICIAL")
	return v.done()
}

func newMarkCommand() *cobra.Command {
	d := &score.ResultSet{}
	v := newEventCommand("mark CONTEST", "Record a competitor's mark at a split",
		`  bard mark OG50BC/MAR --competitor 2888 --split half --mark 71.05
  bard mark OG50BC/MAR --competitor 2888 --split finish --mark 148.3 --category F --organisation GAU
  bard mark OG50BC/MAR --competitor 17 --split finish --irm DNF
  bard mark OG50BC/MAR --competitor 2888 --split finish --irm DSQ --reason "magic potion"`,
		score.TypeResultSet, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.Competitor, "competitor", "", "code of the competitor (required)")
	flags.StringVar(&d.Split, "split", "", "the split (required)")
	flags.Var(decimalFlag{&d.Mark}, "mark", "the mark; either this or --irm")
	flags.StringVar(&d.IRM, "irm", "", "why there is no mark: DNF, DNS or DSQ")
	flags.StringVar(&d.Category, "category", "", "the competitor's category")
	flags.StringVar(&d.Organisation, "organisation", "", "the competitor's organisation")
	flags.StringVar(&d.Reason, "reason", "", "the reason; required once the contest is OFFICIAL")
	return v.done()
}

func newAwardCommand() *cobra.Command {
	d := &score.MedalAward{}
	v := newEventCommand("award CONTEST", "Award a medal",
		`  bard award OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --medal GOLD --organisation GAU
  bard award OG50BC/MAR --award-id OG50BC/MAR#BRONZE --medal BRONZE --organisation EGY --competitor Edifis`,
		score.TypeMedalAward, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.AwardID, "award-id", "", "the award's id, unique in the competition (required)")
	flags.StringVar(&d.Medal, "medal", "", "GOLD, SILVER or BRONZE (required)")
	flags.StringVar(&d.Organisation, "organisation", "", "the organisation that gets it (required)")
	flags.StringVar(&d.Competitor, "competitor", "", "the competitor who won it")
	flags.StringVar(&d.Sport, "sport", "", "the sport")
	flags.StringVar(&d.Event, "event", "", "the sports event")
	return v.done()
}

func newRevokeCommand() *cobra.Command {
	d := &score.MedalRevoke{}
	v := newEventCommand("revoke CONTEST", "Revoke a medal",
		`  bard revoke OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --reason "magic potion"`,
		score.TypeMedalRevoke, d, &d.Comment)
	v.Flags().StringVar(&d.AwardID, "award-id", "", "the award's id (required)")
	v.Flags().StringVar(&d.Reason, "reason", "", "the reason (required)")
	return v.done()
}

func newVoidCommand() *cobra.Command {
	d := &score.EventVoid{}
	v := newEventCommand("void CONTEST", "Void an event: the contest becomes as if the event had never been",
		`  bard void OG50BC/CUR-1 --voids b1-000110 --reason "the stone was touched"`,
		score.TypeEventVoid, d, &d.Comment)
	v.Flags().StringVar(&d.Voids, "voids", "", "the id of the event to void (required)")
	v.Flags().StringVar(&d.Reason, "reason", "", "the reason (required)")
	return v.done()
}

func newAlertCommand() *cobra.Command {
	d := &score.Alert{}
	v := newEventCommand("alert CONTEST", "Add a line of text to the timeline",
		`  bard alert OG50BC/CUR-1 --text "play is held up: wild boar on the ice"`,
		score.TypeAlert, d, &d.Comment)
	v.Flags().StringVar(&d.Text, "text", "", "the text (required)")
	return v.done()
}
