package fsm

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/access"
)

// Whatever is granted and revoked, signed, altered, repeated, crashed and replayed:
// exactly those events are applied that are authorized at their place in the log, and
// equal logs give equal databases.
func TestOnlyAuthorizedEventsAreApplied(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		h := &accessHistory{randomHistory: &randomHistory{root: root}, grants: map[string]*access.Grant{}}
		h.dir = h.newDir(rt)
		h.m = openMachine(rt, h.dir)
		defer func() { h.end() }()
		begin := setLineage
		begin.By, begin.At = "getafix", accessDay
		h.log = append(h.log, Entry{1, encodeChange(rt, begin)})
		if _, err := h.m.Apply(h.log, 1); err != nil {
			rt.Fatal(err)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"change 1": h.change,
			"change 2": h.change,
			"change 3": h.change,
			"post 1":   h.post,
			"post 2":   h.post,
			"post 3":   h.post,
			"post 4":   h.post,
			"look":     h.check,
			"restart":  h.restart,
			"kill":     h.kill,
			"restore":  h.restore,
			"rebuild":  h.rebuild,
			"replay":   h.replay,
		})
		h.check(rt)
		h.elsewhere(rt)
	})
}

// accessHistory is a randomHistory with a simple model of access control, built from the
// changes that were applied.
type accessHistory struct {
	*randomHistory
	guarded bool
	grants  map[string]*access.Grant // by id
	notes   int
	posted  []drawnEvent // all events that were ever posted
}

// drawnEvent is an event and what the test knows about how it was made.
type drawnEvent struct {
	score.Event
	genuine bool // the signature is valid
}

func (h *accessHistory) change(t *rapid.T) {
	c := access.Change{By: "getafix", At: accessDay.Add(drawDuration(t))}
	who := byte(rapid.IntRange(1, 3).Draw(t, "who"))
	id := rapid.SampledFrom([]string{keyGrant(who, "").ID, fmt.Sprint("token-", who)}).Draw(t, "id")
	switch rapid.SampledFrom([]string{"grant", "grant", "grant", "revoke", "recover", "guard", "join", "use",
		"authority", "drop", "remove", "note"}).Draw(t, "change") {
	case "grant":
		c.Grant = tokenGrant(id, fmt.Sprint("bard/", who), access.RoleBard)
		if id == keyGrant(who, "").ID {
			c.Grant = keyGrant(who, c.Grant.Name)
		}
		c.Grant.Role = rapid.SampledFrom([]access.Role{access.RoleBard, access.RoleBard, access.RoleReader,
			access.RoleOperator}).Draw(t, "role")
		if rapid.IntRange(0, 2).Draw(t, "bounded") == 0 {
			c.Grant.Competitions = []string{"G"}
		}
		if rapid.IntRange(0, 4).Draw(t, "typed") == 0 {
			c.Grant.Types = []score.Type{score.TypeAlert}
		}
	case "revoke":
		c.Revoke = id
	case "recover":
		c.By = fmt.Sprint("f", who)
		c.Recover = &access.Recovery{ID: fmt.Sprint("new-", h.notes), Hash: make([]byte, 32)}
	case "guard":
		c.Guard = true
	case "join":
		c.JoinToken = &access.JoinToken{ID: fmt.Sprint("j", who), Hash: make([]byte, 32), Uses: int(who),
			Expires: accessDay.Add(drawDuration(t) + 1)}
	case "use":
		c.UseJoinToken, c.JoinKey = fmt.Sprint("j", who), make([]byte, 32)
	case "authority":
		c.AddAuthority = []byte{who}
	case "drop":
		c.DropAuthority = access.Fingerprint([]byte{who})
	case "remove":
		c.RemoveMember = fmt.Sprintf("f%d@x", who)
	case "note":
		h.notes++
		c.Note = fmt.Sprint("note ", h.notes)
	}
	index := h.m.Applied() + 1
	next := Entry{index, encodeChange(t, c)}
	h.log = append(h.log, next)
	outcome, err := h.m.Apply([]Entry{next}, index)
	if err != nil {
		t.Fatal(err)
	}
	if outcome[0][0][0].Problem != nil {
		return
	}
	switch {
	case c.Grant != nil:
		if was := h.grants[c.Grant.ID]; was != nil && was.Revoked {
			t.Fatalf("the revoked %s was granted again", c.Grant.ID)
		}
		h.grants[c.Grant.ID] = c.Grant
	case c.Revoke != "":
		if g := h.grants[c.Revoke]; g != nil {
			revoked := *g
			revoked.Revoked = true
			h.grants[c.Revoke] = &revoked
		}
	case c.Recover != nil:
		name := "recovered/" + c.By
		maps.DeleteFunc(h.grants, func(_ string, g *access.Grant) bool { return g.Name == name })
		h.grants[c.Recover.ID] = &access.Grant{
			ID: c.Recover.ID, Name: name, Role: access.RoleOperator, Hash: c.Recover.Hash,
		}
	case c.Guard:
		h.guarded = true
	}
}

// event draws an event and how it is authorized.
func (h *accessHistory) event(t *rapid.T, ahead map[string]int) drawnEvent {
	kind := rapid.SampledFrom([]string{"new", "new", "new", "new", "repeated", "gap", "other"}).Draw(t, "kind")
	if kind == "repeated" && len(h.posted) > 0 {
		return rapid.SampledFrom(h.posted).Draw(t, "repeated")
	}
	who := byte(rapid.IntRange(1, 3).Draw(t, "who"))
	source := rapid.SampledFrom([]string{fmt.Sprint("bard/", who), fmt.Sprintf("bard/%d/x", who), "bard/1",
		"bard/12"}).Draw(t, "source")
	seq := len(h.plain.of(source)) + 1 + ahead[source]
	switch kind {
	case "gap":
		seq += 2
	case "other":
		seq = rapid.IntRange(1, seq).Draw(t, "seq")
	default:
		ahead[source]++
	}
	e := unsignedAlert(who, source, uint64(seq), rapid.SampledFrom([]string{"rain", "hail"}).Draw(t, "text"))
	e.ContestID = rapid.SampledFrom([]string{"G/1", "G/2", "X/1"}).Draw(t, "contest")
	if rapid.IntRange(0, 5).Draw(t, "define") == 0 {
		e.Type, e.ContestID = score.TypeCompetitionDefine, e.Competition()
		e.Data = &score.CompetitionDefine{Name: "Games"}
	}
	return h.sign(t, e, who)
}

func (h *accessHistory) sign(t *rapid.T, e score.Event, who byte) drawnEvent {
	// The event is signed together with others, so that the signature has a path.
	tree := make([]score.Event, rapid.SampledFrom([]int{1, 2, 5}).Draw(t, "tree"))
	for i := range tree {
		tree[i] = unsignedAlert(who, e.Source, e.Seq+uint64(i), "beside")
	}
	at := rapid.IntRange(0, len(tree)-1).Draw(t, "at")
	tree[at] = e
	signEvents(t, who, tree)
	v := drawnEvent{tree[at], true}
	switch rapid.SampledFrom([]string{"signed", "signed", "signed", "signed", "signed", "token", "token", "nobody",
		"altered", "swapped", "spoilt", "borrowed", "keyless", "key for token", "filled in"}).Draw(t, "authorized by") {
	case "token":
		v.Key, v.Signature, v.Token, v.genuine = "", nil, fmt.Sprint("token-", who), false
	case "nobody":
		v.Key, v.Signature, v.genuine = "", nil, false
	case "altered":
		v.ContestID, v.genuine = v.ContestID+"/altered", false
	case "swapped":
		v.Signature, v.genuine = signedAlert(t, who, v.Source, v.Seq, "another").Signature, false
	case "spoilt":
		v.Signature = bytes.Clone(v.Signature)
		v.Signature[rapid.IntRange(0, len(v.Signature)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		v.genuine = false
	case "borrowed":
		v.Key, v.genuine = keyGrant(who%3+1, "").ID, false
	case "keyless":
		v.Key, v.genuine = "", false
	case "key for token":
		v.Token, v.Key, v.Signature, v.genuine = v.Key, "", nil, false
	case "filled in":
		v.TimeGiven, v.genuine = false, false
	}
	return v
}

// authorized reports whether v is authorized now.
func (h *accessHistory) authorized(v drawnEvent) bool {
	var g *access.Grant
	switch {
	case v.Key != "":
		if g = h.grants[v.Key]; !v.genuine || g != nil && g.Public == nil {
			return false
		}
	case v.Signature != nil:
		return false
	case v.Token != "":
		if g = h.grants[v.Token]; g != nil && g.Hash == nil {
			return false
		}
	default:
		return !h.guarded
	}
	if g == nil || g.Revoked || g.Role == access.RoleReader {
		return false
	}
	if g.Role == access.RoleOperator {
		return true
	}
	ownSource := v.Source == g.Name || len(v.Source) > len(g.Name) && v.Source[:len(g.Name)+1] == g.Name+"/"
	return ownSource && (len(g.Competitions) == 0 || slices.Contains(g.Competitions, v.Competition())) &&
		(len(g.Types) == 0 || slices.Contains(g.Types, v.Type))
}

func (h *accessHistory) post(t *rapid.T) {
	ahead := map[string]int{}
	posts := make([]score.Post, rapid.IntRange(1, 3).Draw(t, "posts"))
	drawn := make([][]drawnEvent, len(posts))
	for i := range posts {
		posts[i].Mode = rapid.SampledFrom([]score.PostMode{score.AllOrNone, score.UntilRefused}).Draw(t, "mode")
		token := "" // all events of a post by a token are by the same one
		for range rapid.SampledFrom([]int{1, 1, 2, 4, 20}).Draw(t, "events") {
			v := h.event(t, ahead)
			if v.Token != "" {
				token = cmp.Or(token, v.Token)
				v.Token = token
			}
			drawn[i], posts[i].Events = append(drawn[i], v), append(posts[i].Events, v.Event)
		}
	}
	index := h.m.Applied() + 1
	next := Entry{index, encodeEntry(t, posts...)}
	h.log = append(h.log, next)
	outcome, err := h.m.Apply([]Entry{next}, index)
	if err != nil {
		t.Fatal(err)
	}
	for i := range posts {
		h.checkResults(t, posts[i].Mode, drawn[i], outcome[0][i])
	}
}

// checkResults checks the results of a post.
func (h *accessHistory) checkResults(t *rapid.T, mode score.PostMode, events []drawnEvent, results []score.Result) {
	before, allOrNone := len(h.plain.events), mode == score.AllOrNone && len(events) > 1
	if last := results[len(results)-1]; allOrNone && last.Problem != nil {
		// A refused array has one result. The events before the refused one were undone.
		results = append(make([]score.Result, *last.Problem.Index), last)
	}
	for i, v := range events {
		h.posted = append(h.posted, v)
		known := h.plain.identify(t, v.Event)
		want := score.Code("")
		switch {
		case known.repeats != nil:
		case !h.authorized(v):
			want = score.Unauthorized
		case known.gap != 0:
			want = score.SeqGap
		case known.other:
			want = score.IDConflict
		}
		if i >= len(results) {
			t.Fatalf("event %d of %d has no result: %+v", i, len(events), results)
		}
		r := results[i]
		got := score.Code("")
		if r.Problem != nil {
			got = r.Problem.Code
		}
		if got == score.Forbidden {
			got = score.Unauthorized
		}
		if got != want {
			t.Fatalf("%+v has the result %+v; want %q", v, r, want)
		}
		switch {
		case want != "" && allOrNone:
			h.plain.events = h.plain.events[:before]
			return
		case want != "":
			return
		case known.repeats == nil:
			if v.Key != "" {
				v.Token = ""
			}
			h.plain.events = append(h.plain.events, &acceptedEvent{Event: v.Event,
				revision: uint64(len(h.plain.events)) + 1})
		}
		if r.Status == score.Applied && r.Revision != uint64(len(h.plain.events)) {
			t.Fatalf("%+v has the result %+v; want revision %d", v, r, len(h.plain.events))
		}
	}
}

func (h *accessHistory) check(t *rapid.T) {
	a := h.m.Access()
	if a.Guarded != h.guarded || len(a.Grants) != len(h.grants) {
		t.Fatalf("guarded is %t, want %t; %d grants, want %d", a.Guarded, h.guarded, len(a.Grants), len(h.grants))
	}
	err := h.m.View(func(v *view.View) error {
		if v.Revision() != uint64(len(h.plain.events)) {
			t.Fatalf("the revision is %d; %d events were accepted", v.Revision(), len(h.plain.events))
		}
		timelines := map[string][]score.TimelineEvent{}
		for _, e := range h.plain.events {
			if _, ok := timelines[e.ContestID]; !ok {
				list, _, err := v.Timeline(e.ContestID, 0, 10_000)
				if err != nil {
					return err
				}
				timelines[e.ContestID] = list
			}
			s := timelines[e.ContestID][0]
			timelines[e.ContestID] = timelines[e.ContestID][1:]
			if s.ID != e.ID || s.Revision != e.revision || s.Key != e.Key || !bytes.Equal(s.Signature, e.Signature) ||
				s.Token != e.Token {
				t.Fatalf("the timeline has %+v; want %+v", s, e)
			}
		}
		for id, rest := range timelines {
			if len(rest) > 0 {
				t.Fatalf("the timeline of %s has %d events too many", id, len(rest))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// elsewhere applies the whole log to another machine, in other portions.
func (h *accessHistory) elsewhere(t *rapid.T) {
	m := openMachine(t, h.newDir(t))
	defer m.Close()
	h.feed(t, m, h.log)
	if !bytes.Equal(snapshotOf(t, m), snapshotOf(t, h.m)) {
		t.Fatal("equal logs gave different databases")
	}
}

// drawDuration draws up to two hours; join tokens expire in the meantime.
func drawDuration(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 7200).Draw(t, "seconds")) * time.Second
}
