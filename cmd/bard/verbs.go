package main

import (
	"github.com/spf13/cobra"

	"laurel/score"
)

func newStatusCommand() *cobra.Command {
	d := &score.ContestStatus{}
	v := newVerb("status CONTEST", "Move a contest",
		`  bard status OG50BC/CUR-1 --schedule-status RUNNING --result-status LIVE --period END1
  bard status OG50BC/CUR-1 --period END2 --clock 14:30
  bard status OG50BC/CUR-1 --schedule-status FINISHED --result-status OFFICIAL`,
		score.TypeContestStatus, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.ScheduleStatus, "schedule-status", "", "where it stands: SCHEDULED, GETTING_READY, RUNNING, SCHEDULED_BREAK, FINISHED ...")
	flags.StringVar(&d.ResultStatus, "result-status", "", "what its results are: START_LIST, LIVE, UNOFFICIAL, OFFICIAL ...")
	flags.StringVar(&d.Period, "period", "", "the period")
	flags.StringVar(&d.Clock, "clock", "", "the clock")
	return v.done()
}

func newPlayCommand() *cobra.Command {
	d := &score.ScorePlay{}
	v := newVerb("play CONTEST", "Add to a competitor's score",
		`  bard play OG50BC/CUR-1 --competitor GAU --delta 2
  bard play OG50BC/CUR-1 --competitor GAU --delta 2 --period END1 --action END --result GAU=2,ROM=0
  bard play OG50BC/CRI-3 --competitor ROM --delta 4 --athlete "Marcus Brutus" --stats-delta runs=4,balls=1`,
		score.TypeScorePlay, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.Competitor, "competitor", "", "who scores, by code (required)")
	flags.Var(decimalFlag{&d.Delta}, "delta", "how much is added, 0 included (required)")
	flags.StringVar(&d.Period, "period", "", "the period; left out, the present one")
	flags.StringVar(&d.Action, "action", "", "what was done")
	flags.StringVar(&d.Clock, "clock", "", "the clock")
	flags.StringVar(&d.Athlete, "athlete", "", "who did it")
	flags.Var(totalsFlag{&d.Result}, "result", "the totals after; the event is refused where they do not add up")
	flags.Var(totalsFlag{&d.StatsDelta}, "stats-delta", "what is added to the competitor's statistics")
	return v.done()
}

func newSetCommand() *cobra.Command {
	d := &score.ScoreSet{}
	v := newVerb("set CONTEST", "Set totals",
		`  bard set OG50BC/CUR-1 --result GAU=3,ROM=2
  bard set OG50BC/CUR-1 --result GAU=4 --reason "the jury measured again"`,
		score.TypeScoreSet, d, &d.Comment)
	flags := v.Flags()
	flags.Var(totalsFlag{&d.Result}, "result", "the totals (required)")
	flags.StringVar(&d.Period, "period", "", "the period that the difference is counted to")
	flags.StringVar(&d.Reason, "reason", "", "why; required once the contest is OFFICIAL")
	return v.done()
}

func newMarkCommand() *cobra.Command {
	d := &score.ResultSet{}
	v := newVerb("mark CONTEST", "Record a competitor's mark at a split",
		`  bard mark OG50BC/MAR --competitor 2888 --split half --mark 71.05
  bard mark OG50BC/MAR --competitor 2888 --split finish --mark 148.3 --category F --organisation GAU
  bard mark OG50BC/MAR --competitor 17 --split finish --irm DNF
  bard mark OG50BC/MAR --competitor 2888 --split finish --irm DSQ --reason "magic potion"`,
		score.TypeResultSet, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.Competitor, "competitor", "", "whose mark it is, by code (required)")
	flags.StringVar(&d.Split, "split", "", "where it was taken (required)")
	flags.Var(decimalFlag{&d.Mark}, "mark", "the mark; this or --irm")
	flags.StringVar(&d.IRM, "irm", "", "why there is none: DNF, DNS or DSQ")
	flags.StringVar(&d.Category, "category", "", "the competitor's category")
	flags.StringVar(&d.Organisation, "organisation", "", "the competitor's organisation")
	flags.StringVar(&d.Reason, "reason", "", "why; required once the contest is OFFICIAL")
	return v.done()
}

func newAwardCommand() *cobra.Command {
	d := &score.MedalAward{}
	v := newVerb("award CONTEST", "Award a medal",
		`  bard award OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --medal GOLD --organisation GAU
  bard award OG50BC/MAR --award-id OG50BC/MAR#BRONZE --medal BRONZE --organisation EGY --competitor "Edifis" --sport athletics`,
		score.TypeMedalAward, d, &d.Comment)
	flags := v.Flags()
	flags.StringVar(&d.AwardID, "award-id", "", "the award's id, unique in the competition (required)")
	flags.StringVar(&d.Medal, "medal", "", "GOLD, SILVER or BRONZE (required)")
	flags.StringVar(&d.Organisation, "organisation", "", "for whom it counts (required)")
	flags.StringVar(&d.Competitor, "competitor", "", "who won it")
	flags.StringVar(&d.Sport, "sport", "", "the sport")
	flags.StringVar(&d.Event, "event", "", "the sports event")
	return v.done()
}

func newRevokeCommand() *cobra.Command {
	d := &score.MedalRevoke{}
	v := newVerb("revoke CONTEST", "Take a medal back",
		`  bard revoke OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --reason "magic potion"`,
		score.TypeMedalRevoke, d, &d.Comment)
	v.Flags().StringVar(&d.AwardID, "award-id", "", "the award's id (required)")
	v.Flags().StringVar(&d.Reason, "reason", "", "why (required)")
	return v.done()
}

func newVoidCommand() *cobra.Command {
	d := &score.EventVoid{}
	v := newVerb("void CONTEST", "Make an event as if it had never been",
		`  bard void OG50BC/CUR-1 --voids b1-000110 --reason "the stone was touched"`,
		score.TypeEventVoid, d, &d.Comment)
	v.Flags().StringVar(&d.Voids, "voids", "", "the id of the event to void (required)")
	v.Flags().StringVar(&d.Reason, "reason", "", "why (required)")
	return v.done()
}

func newAlertCommand() *cobra.Command {
	d := &score.Alert{}
	v := newVerb("alert CONTEST", "Put a line into the timeline",
		`  bard alert OG50BC/CUR-1 --text "play is held up: wild boar on the ice"`,
		score.TypeAlert, d, &d.Comment)
	v.Flags().StringVar(&d.Text, "text", "", "the line (required)")
	return v.done()
}
