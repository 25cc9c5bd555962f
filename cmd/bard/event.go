package main

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/internal/cli"
	"laurel/score"
	"laurel/score/mark"
)

// dataFlag is a flag for one field of an event's data, named as in the JSON but with -.
type dataFlag struct {
	field       any // a pointer to a string, []string, bool, int or uint64, or a pflag.Value
	name, usage string
}

// newEventCommands returns a command for each type of event; define has three subcommands.
func newEventCommands() []*cobra.Command {
	define := []*cobra.Command{newDefineCommand()}
	return slices.Concat(define, newStatusCommands(), newScoreCommands(), newTimelineCommands())
}

func newDefineCommand() *cobra.Command {
	var competition score.CompetitionDefine
	var competitor score.CompetitorDefine
	define := &cobra.Command{
		Use:   "define",
		Short: "Define a competition, a contest or a competitor, or change what is defined",
	}
	define.AddCommand(
		newEventCommand("competition COMPETITION", "Define a competition",
			`  bard define competition OG50BC --name "Games of 50 BC"
  bard define competition OG50BC --name "Games of 50 BC" --neutral PIR,AMA
  bard define competition OG50BC --organisation GAU=Gaul --organisation ROM=Rome`,
			score.TypeCompetitionDefine, &competition, &competition.Comment, []dataFlag{
				{&competition.Name, "name", "its name"},
				{&competition.Neutral, "neutral", "organisations that are not ranked in the medal table"},
				{organisationsFlag(&competition.Organisations), "organisation",
					"the name of an organisation in this competition; repeat it for each"},
				{&competition.Clear, "clear", "what to clear, such as neutral"},
			}),
		newDefineContestCommand(),
		newEventCommand("competitor CONTEST", "Add a competitor to a contest, or change what is known of one",
			`  bard define competitor OG50BC/MAR --competitor 2888 --name Asterix --organisation GAU --categories M,M40
  bard define competitor OG50BC/MAR --competitor 2888 --organisation ROM
  bard define competitor OG50BC/MAR --competitor 2888 --clear categories`,
			score.TypeCompetitorDefine, &competitor, &competitor.Comment, []dataFlag{
				{&competitor.Competitor, "competitor", "code of the competitor (required)"},
				{&competitor.Name, "name", "the name"},
				{&competitor.Organisation, "organisation", "the organisation"},
				{&competitor.Type, "type", "A for an athlete, T for a team"},
				{&competitor.Order, "order", "the place on the start list"},
				{&competitor.Categories, "categories", "the categories"},
				{&competitor.Clear, "clear", "what to clear, such as organisation"},
			}),
	)
	return define
}

func newDefineContestCommand() *cobra.Command {
	var contest score.ContestDefine
	return newEventCommand("contest CONTEST", "Define a contest, or change its definition",
		`  bard define contest OG50BC/CUR-1 --kind head_to_head --sport stone-curling --title "Gaul vs Rome" \
      --competitor GAU,name=Gaul,organisation=GAU,type=T --competitor ROM,name=Rome,organisation=ROM,type=T
  bard define contest OG50BC/FTB-9 --kind head_to_head --sport football --tiebreak-periods PSO \
      --competitor GAU --competitor EGY
  bard define contest OG50BC/MAR --kind ranked --sport athletics --result-type TIME --unit min --splits 10k,finish
  bard define contest OG50BC/CUR-1 --venue "Ice Hall" --clear phase
  bard define contest OG50BC/FTB-9 --tiebreak-periods PSO --reason "penalties were missing"`,
		score.TypeContestDefine, &contest, &contest.Comment, []dataFlag{
			{&contest.Kind, "kind", "head_to_head or ranked (required the first time)"},
			{&contest.Sport, "sport", "the sport (required the first time)"},
			{entrantsFlag(&contest.Competitors), "competitor",
				"a competitor; repeat it for each, in their order " +
					"(default: the first mark of a competitor adds it)"},
			{&contest.Title, "title", "the title"},
			{&contest.CompetitionName, "competition-name", "the name of the competition"},
			{&contest.Discipline, "discipline", "the discipline"},
			{&contest.Event, "event", "the sports event of the contest"},
			{&contest.Phase, "phase", "the phase, such as final"},
			{&contest.Group, "group", "the group"},
			{&contest.Gender, "gender", "the gender"},
			{&contest.Venue, "venue", "the venue"},
			{&contest.ResultType, "result-type", "POINTS, TIME or DISTANCE"},
			{&contest.Unit, "unit", "the unit of results; s, min or h for TIME"},
			{&contest.Sort, "sort", "asc if the lowest result is best, or desc"},
			{&contest.Unit2, "unit2", "the unit of mark2; s, min or h if it is a time"},
			{&contest.Sort2, "sort2", "asc if the lowest mark2 is best (the default), or desc"},
			{digitsFlag(&contest.Precision), "precision", "fraction digits that are shown, 0 to 3"},
			{&contest.Splits, "splits", "the splits of a ranked contest, in order; the last one decides"},
			{&contest.TiebreakPeriods, "tiebreak-periods",
				"periods that are counted separately and decide only a tie"},
			{&contest.MedalEvent, "medal-event", "1 to 9 if medals are awarded, 0 if not"},
			{timeFlag(&contest.StartTime), "start-time", "scheduled start, such as 2026-02-09T10:00:00Z"},
			{&contest.Reason, "reason",
				"why the definition changes; required if it changes what plays and marks amount to, " +
					"or once the contest has begun leaves a competitor out"},
			{&contest.Clear, "clear", "what to clear, such as venue,unit"},
		})
}

// newStatusCommands returns the commands that change the state of a contest, but no score.
func newStatusCommands() []*cobra.Command {
	var status score.ContestStatus
	var decide score.ContestDecide
	var reset score.ContestReset
	return []*cobra.Command{
		newEventCommand("status CONTEST", "Change the status, period or clock of a contest",
			`  bard status OG50BC/CUR-1 --schedule-status RUNNING --result-status LIVE --period END1
  bard status OG50BC/CUR-1 --period END2 --clock 14:30
  bard status OG50BC/CUR-1 --schedule-status FINISHED --result-status OFFICIAL`,
			score.TypeContestStatus, &status, &status.Comment, []dataFlag{
				{&status.ScheduleStatus, "schedule-status",
					"schedule status: SCHEDULED, GETTING_READY, RUNNING, SCHEDULED_BREAK, FINISHED ..."},
				{&status.ResultStatus, "result-status",
					"result status: START_LIST, LIVE, UNOFFICIAL, OFFICIAL ..."},
				{&status.Period, "period", "the period"},
				{&status.Clock, "clock", "the clock"},
				{&status.Reason, "reason", "the reason; required to open an OFFICIAL contest again"},
			}),
		newEventCommand("decide CONTEST", "Decide who has won a contest, or that nobody has, whatever the score is",
			`  bard decide OG50BC/CUR-1 --winner ROM --decision RETIRED --comment "Gaul ran out of potion"
  bard decide OG50BC/CRI-3 --decision ABANDONED
  bard decide OG50BC/CUR-1 --reason "the jury heard both sides"     # takes the decision back`,
			score.TypeContestDecide, &decide, &decide.Comment, []dataFlag{
				{&decide.Winner, "winner", "code of the winner (default nobody)"},
				{&decide.Decision, "decision", "REGULAR, EXTRA_TIME, SHOOT_OUT, RETIRED, WALKOVER, DISQUALIFIED, " +
					"AWARDED, DRAWN, ABANDONED or RULE (default: take the decision back)"},
				{&decide.Reason, "reason", "the reason; required once the contest is OFFICIAL"},
			}),
		newEventCommand("reset CONTEST", "Begin a contest anew, as if it had only been defined",
			`  bard reset OG50BC/CUR-1 --reason "the match is replayed"`,
			score.TypeContestReset, &reset, &reset.Comment, []dataFlag{
				{&reset.Reason, "reason", "the reason (required)"},
			}),
	}
}

// newScoreCommands returns the commands for scores and marks.
func newScoreCommands() []*cobra.Command {
	var play score.ScorePlay
	var set score.ScoreSet
	var mark score.ResultSet
	return []*cobra.Command{
		newEventCommand("play CONTEST", "Add to a competitor's score",
			`  bard play OG50BC/CUR-1 --competitor GAU --delta 2
  bard play OG50BC/CUR-1 --competitor GAU --delta 2 --period END1 --action END --result GAU=2,ROM=0
  bard play OG50BC/CRI-3 --competitor ROM --delta 4 --athlete "Marcus Brutus" --stats-delta runs=4,balls=1`,
			score.TypeScorePlay, &play, &play.Comment, []dataFlag{
				{&play.Competitor, "competitor", "code of the competitor (required)"},
				{decimalFlag(&play.Delta), "delta", "number to add, may be 0 (required)"},
				{&play.Period, "period", "the period (default the current one)"},
				{&play.Action, "action", "what happened, such as GOAL"},
				{&play.Clock, "clock", "the clock"},
				{&play.Athlete, "athlete", "the athlete"},
				{totalsFlag(&play.Result), "result",
					"the totals afterwards; the event is refused if they do not match"},
				{totalsFlag(&play.StatsDelta), "stats-delta", "numbers to add to the competitor's statistics"},
			}),
		newEventCommand("set CONTEST", "Set totals",
			`  bard set OG50BC/CUR-1 --result GAU=3,ROM=2
  bard set OG50BC/CUR-1 --result GAU=4 --period END3 --reason "the jury measured again"
  bard set OG50BC/CUR-1 --result GAU=0,ROM=3 --adjustment --reason "awarded"`,
			score.TypeScoreSet, &set, &set.Comment, []dataFlag{
				{totalsFlag(&set.Result), "result", "the totals (required)"},
				{&set.Period, "period",
					"the period that gets the difference; a tie-break period has totals of its own"},
				{&set.Adjustment, "adjustment", "the difference is in no period"},
				{&set.Reason, "reason", "the reason; required once the contest is OFFICIAL"},
			}),
		newEventCommand("mark CONTEST", "Record a competitor's mark at a split",
			`  bard mark OG50BC/MAR --competitor 2888 --split half --mark 71.05
  bard mark OG50BC/MAR --competitor 2888 --split finish --mark 148.3 --category F --organisation GAU
  bard mark OG50BC/MAR --competitor 31 --split finish --mark 2:10:59
  bard mark OG50BC/MAR --competitor 17 --split finish --irm DNF
  bard mark OG50BC/MAR --competitor 2888 --split finish --irm DSQ --reason "magic potion"`,
			score.TypeResultSet, &mark, &mark.Comment, []dataFlag{
				{&mark.Competitor, "competitor", "code of the competitor (required)"},
				{&mark.Split, "split", "the split (required)"},
				{measureFlag(&mark.Mark), "mark",
					"the mark in the contest's unit, or a time such as 2:11:31.2; either this or --irm"},
				{measureFlag(&mark.Mark2), "mark2", "what orders equal marks, such as penalty minutes"},
				{decimalFlag(&mark.Place), "place", "the place among marks that are equal otherwise: 1, 2, 3 ..."},
				{&mark.IRM, "irm", "why there is no mark: DNF, DNS, DSQ, DQB, LAP, NM, OTL, RET or WDR"},
				{&mark.Category, "category", "a category of the competitor, besides those that it has"},
				{&mark.Organisation, "organisation", "the competitor's organisation"},
				{&mark.Reason, "reason", "the reason; required once the contest is OFFICIAL"},
			}),
	}
}

// newTimelineCommands returns the commands for medals, voids and alerts.
func newTimelineCommands() []*cobra.Command {
	var award score.MedalAward
	var revoke score.MedalRevoke
	var void score.EventVoid
	var alert score.Alert
	return []*cobra.Command{
		newEventCommand("award CONTEST", "Award a medal",
			`  bard award OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --medal GOLD --organisation GAU
  bard award OG50BC/MAR --award-id OG50BC/MAR#BRONZE --medal BRONZE --organisation EGY --competitor Edifis`,
			score.TypeMedalAward, &award, &award.Comment, []dataFlag{
				{&award.AwardID, "award-id", "the award's id, unique in the competition (required)"},
				{&award.Medal, "medal", "GOLD, SILVER or BRONZE (required)"},
				{&award.Organisation, "organisation", "the organisation that gets it (required)"},
				{&award.Competitor, "competitor", "the competitor who won it"},
				{&award.Sport, "sport", "the sport"},
				{&award.Event, "event", "the sports event"},
			}),
		newEventCommand("revoke CONTEST", "Revoke a medal",
			`  bard revoke OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --reason "magic potion"`,
			score.TypeMedalRevoke, &revoke, &revoke.Comment, []dataFlag{
				{&revoke.AwardID, "award-id", "the award's id (required)"},
				{&revoke.Reason, "reason", "the reason (required)"},
			}),
		newEventCommand("void CONTEST", "Void an event: the contest becomes as if the event had never been",
			`  bard void OG50BC/CUR-1 --voids b1-000110 --reason "the stone was touched"
  bard void OG50BC/CUR-1 --voids-revision 4711 --reason "nobody scored"
  bard void OG50BC/CUR-1 --voids-source bard/arena --voids-seq 110 --reason "nobody scored"`,
			score.TypeEventVoid, &void, &void.Comment, []dataFlag{
				{&void.Voids, "voids",
					"the id of the event to void; if several events have it, that of the same source"},
				{&void.VoidsRevision, "voids-revision", "the revision of the event to void, as the timeline shows it"},
				{&void.VoidsSource, "voids-source", "the source of the event to void"},
				{&void.VoidsSeq, "voids-seq", "the seq of the event to void within --voids-source"},
				{&void.Reason, "reason", "the reason (required)"},
			}),
		newEventCommand("alert CONTEST", "Add a line of text to the timeline",
			`  bard alert OG50BC/CUR-1 --text "play is held up: wild boar on the ice"`,
			score.TypeAlert, &alert, &alert.Comment, []dataFlag{{&alert.Text, "text", "the text (required)"}}),
	}
}

// newEventCommand returns a command that posts an event about a contest or competition.
func newEventCommand(
	use, short, example string, t score.Type, data score.Data, comment *string, dataFlags []dataFlag,
) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Long: fmt.Sprintf("%s.\n\nPosts one %s event and prints its revision when it is durable.\n"+
			"The data of the event are never taken from the environment.", short, t),
		Example: example,
		Args:    cobra.ExactArgs(1),
	}
	event := score.Event{Type: t, Data: data}
	flags := c.Flags()
	flags.SortFlags = false
	for _, f := range append(dataFlags, dataFlag{comment, "comment", "a comment"}) {
		switch p := f.field.(type) {
		case *string:
			flags.StringVar(p, f.name, "", f.usage)
		case *[]string:
			flags.StringSliceVar(p, f.name, nil, f.usage)
		case *bool:
			flags.BoolVar(p, f.name, false, f.usage)
		case *int:
			flags.IntVar(p, f.name, 0, f.usage)
		case *uint64:
			flags.Uint64Var(p, f.name, 0, f.usage)
		case pflag.Value:
			flags.Var(p, f.name, f.usage)
		}
	}
	flags.StringVar(&event.ID, "id", "", "the event's id, so that a repeated post counts once (default a new one)")
	flags.StringVar(&event.Source, "source", "", "the feed of the event (default the name of the key or token)")
	flags.Uint64Var(&event.Seq, "seq", 0, "the event's number within its source (default the next)")
	flags.Var(timeFlag(&event.Time), "time", "when it happened, such as 2026-02-09T10:16:40Z (default now)")
	asJSON := flags.Bool("json", false, "print the result as JSON")
	cli.NoEnvironment(flags)
	to := cli.AddRequestTarget(c)
	to.AddKey(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		event.ContestID = args[0]
		addEmpty(flags, dataFlags)
		r, err := post(cmd, to, event)
		if err != nil {
			return err
		}
		text := fmt.Appendf(nil, "%s at revision %d, id %s", r.Status, r.Revision, r.ID)
		if *asJSON {
			if text, err = json.Marshal(r); err != nil {
				return err
			}
		}
		_, err = cmd.OutOrStdout().Write(append(text, '\n'))
		return err
	}
	return c
}

// addEmpty adds to what --clear clears the flags that were given as empty or 0, such as
// --venue "". Without it they would have no effect. An empty list is one already.
func addEmpty(flags *pflag.FlagSet, dataFlags []dataFlag) {
	i := slices.IndexFunc(dataFlags, func(f dataFlag) bool { return f.name == "clear" })
	if i < 0 {
		return
	}
	clear, _ := dataFlags[i].field.(*[]string)
	for _, f := range dataFlags {
		text, isText := f.field.(*string)
		number, isNumber := f.field.(*int)
		empty := isText && *text == "" || isNumber && *number == 0
		member := strings.ReplaceAll(f.name, "-", "_")
		if empty && f.name != "reason" && flags.Changed(f.name) && !slices.Contains(*clear, member) {
			*clear = append(*clear, member)
		}
	}
}

// post posts an event. A signed one without a source gets the name of the key.
func post(cmd *cobra.Command, to *cli.Target, event score.Event) (score.Result, error) {
	c, err := to.Client()
	if err != nil {
		return score.Result{}, err
	}
	defer c.Close()
	key, err := to.Key()
	if err != nil {
		return score.Result{}, err
	}
	if key != nil && event.Source == "" {
		if event.Source, err = grantedName(cmd.Context(), c, key); err != nil {
			return score.Result{}, err
		}
	}
	events := []score.Event{event}
	results, err := c.Post(cmd.Context(), events) // sets a missing id
	if err != nil {
		return score.Result{}, fmt.Errorf("event %s: %w", events[0].ID, err)
	}
	return results[0], nil
}

// valueFlag is a flag that is parsed by a function. It has no default.
type valueFlag struct {
	kind string // in the help
	set  func(string) error
}

func (f valueFlag) Set(s string) error { return f.set(s) }
func (f valueFlag) Type() string       { return f.kind }
func (f valueFlag) String() string     { return "" }

func timeFlag(p *time.Time) valueFlag {
	return valueFlag{"string", func(s string) (err error) {
		if s != "" {
			*p, err = score.ParseTime(s)
		}
		return err
	}}
}

func decimalFlag(p **mark.Decimal) valueFlag {
	return valueFlag{"number", func(s string) error {
		d, err := mark.ParseDecimal(strings.TrimPrefix(s, "+"))
		if err == nil {
			*p = &d
		}
		return err
	}}
}

func measureFlag(p **mark.Measure) valueFlag {
	return valueFlag{"number or time", func(s string) error {
		m, err := mark.ParseMeasure(strings.TrimPrefix(s, "+"))
		if err == nil {
			*p = &m
		}
		return err
	}}
}

func digitsFlag(p **int) valueFlag {
	return valueFlag{"number", func(s string) error {
		n, err := strconv.Atoi(s)
		if err == nil {
			*p = &n
		}
		return err
	}}
}

// totalsFlag is a list of named numbers, such as GAU=2,ROM=0. It may be repeated.
func totalsFlag(p *score.Totals) valueFlag {
	return valueFlag{"NAME=NUMBER,...", func(s string) error {
		for pair := range strings.SplitSeq(s, ",") {
			name, number, ok := strings.Cut(pair, "=")
			if !ok || name == "" {
				return fmt.Errorf("got %q; want names and numbers, such as GAU=2,ROM=0", pair)
			}
			if _, twice := p.Get(name); twice {
				return fmt.Errorf("%q appears twice", name)
			}
			d, err := mark.ParseDecimal(number)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			*p = append(*p, score.Total{Code: name, Value: d})
		}
		return nil
	}}
}

// organisationsFlag is the name of an organisation, such as GAU=Gaul. Each use adds one.
func organisationsFlag(p *[]score.Organisation) valueFlag {
	return valueFlag{"CODE=NAME", func(s string) error {
		code, name, ok := strings.Cut(s, "=")
		if !ok || code == "" {
			return fmt.Errorf("got %q; want a code and a name, such as GAU=Gaul", s)
		}
		*p = append(*p, score.Organisation{Code: code, Name: name})
		return nil
	}}
}

// entrantsFlag is a competitor, such as GAU,name=Gaul,organisation=GAU,type=T. Each use
// adds one. A value with a comma is quoted as in CSV.
func entrantsFlag(p *[]score.Entrant) valueFlag {
	return valueFlag{"CODE,name=...", func(s string) error {
		fields, err := csv.NewReader(strings.NewReader(s)).Read()
		if err != nil {
			return fmt.Errorf("got %q: %w", s, err)
		}
		e := score.Entrant{Code: fields[0], Order: len(*p) + 1}
		for _, field := range fields[1:] {
			name, value, _ := strings.Cut(field, "=")
			to := map[string]*string{"name": &e.Name, "organisation": &e.Organisation, "type": &e.Type}[name]
			if to == nil {
				return fmt.Errorf("got %q; want a code, then any of name=, organisation=, type=, "+
					"as in GAU,name=Gaul,type=T", field)
			}
			*to = value
		}
		*p = append(*p, e)
		return nil
	}}
}
