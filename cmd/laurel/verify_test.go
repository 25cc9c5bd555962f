package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/internal/cli"
	"laurel/score"
	"laurel/score/mark"
	"laurel/trust/access"
	"laurel/trust/keyfile"
	"laurel/trust/signing"
)

// testLineage is the lineage of the stores that frontends show.
const testLineage = "games50bc"

func keyOf(name string) (ed25519.PrivateKey, ed25519.PublicKey) {
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	return private, private.Public().(ed25519.PublicKey)
}

// shown returns a timeline of n signed events.
func shown(t *testing.T, n int) []score.TimelineEvent {
	t.Helper()
	private, _ := keyOf("cacofonix")
	events := make([]score.Event, n)
	for i := range events {
		delta := mark.Points(int64(i))
		events[i] = score.Event{ID: fmt.Sprintf("c-%d", i+1), Source: "bard/cacofonix", Seq: uint64(i + 1),
			Type: score.TypeScorePlay, ContestID: "A/1",
			Time: time.Date(2026, 2, 9, 10, 0, i, 5e8, time.FixedZone("", 3600)),
			Data: &score.ScorePlay{Competitor: "GAU", Delta: &delta,
				Result: score.Totals{{Code: "ROM"}, {Code: "GAU", Value: delta}}}}
	}
	if err := signing.Sign(private, testLineage, events); err != nil {
		t.Fatal(err)
	}
	var list []score.TimelineEvent
	for i, e := range events {
		data, err := score.MarshalData(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, score.TimelineEvent{ID: e.ID, Source: e.Source, Seq: e.Seq, Type: e.Type, Time: e.Time,
			ContestID: e.ContestID, Data: data, Revision: uint64(i + 10), Key: e.Key, Signature: e.Signature})
	}
	return list
}

// frontendShows answers as a frontend with these events, two on a page, and with the keys
// of some bards.
func frontendShows(t *testing.T, events []score.TimelineEvent, bards ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body any
		switch r.URL.Path {
		case "/v1/keys":
			keys := []access.KeyView{}
			for _, name := range bards {
				_, public := keyOf(name)
				keys = append(keys, access.KeyView{ID: score.KeyID(public), Name: "bard/" + name, Public: public,
					Revoked: name == "old"})
			}
			body = map[string]any{"keys": keys}
		case "/v1/cluster/settings":
			body = access.SettingList{Settings: []access.Setting{{Name: access.SettingLineage, Value: testLineage}}}
		case "/v1/timeline/A/1":
			from := 0
			if after := r.URL.Query().Get("after"); after != "" {
				_, _ = fmt.Sscan(after, &from)
			}
			to, next := min(from+2, len(events)), ""
			if to < len(events) {
				next = fmt.Sprint(to)
			}
			body = map[string]any{"events": events[from:to], "next": next}
		default:
			http.NotFound(w, r)
			return
		}
		if err := json.MarshalWrite(w, body); err != nil {
			t.Error(err)
		}
	}
}

func TestVerifyReportsWhoPostedEachEvent(t *testing.T) {
	events := shown(t, 5)
	events[1].VoidedBy = 5
	for i := range events[3:] { // the last two are not signed
		events[3+i].Key, events[3+i].Signature = "", nil
	}
	events[4].Token = "feed-1"
	code, out, errs, _ := run(t, frontendShows(t, events, "cacofonix"), "verify", "A/1")
	if code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"verified by bard/cacofonix " + events[0].Key, "(voided at revision 5)", "by token feed-1",
		"unsigned\n", "5 events: 3 verified, 1 by token, 1 unsigned, 0 FALSE; the store is " + testLineage + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestVerifyFindsWhatIsFalse(t *testing.T) {
	for name, c := range map[string]struct {
		falsify func(list []score.TimelineEvent) []score.TimelineEvent
		says    string
	}{
		"another score": {func(l []score.TimelineEvent) []score.TimelineEvent {
			l[2].Data = jsontext.Value(strings.Replace(string(l[2].Data), `"delta":2`, `"delta":3`, 1))
			return l
		}, "is not what the key"},
		"another competitor": {func(l []score.TimelineEvent) []score.TimelineEvent {
			l[2].Data = jsontext.Value(strings.ReplaceAll(string(l[2].Data), "GAU", "ROM2"))
			return l
		}, "is not what the key"},
		"another time":   {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Time = l[2].Time.Add(1); return l }, "is not what the key"},
		"another offset": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Time = l[2].Time.UTC(); return l }, "is not what the key"},
		"another id": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].ID = "c-9"; return l },
			"is not what the key"},
		"another source": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Source = "bard/x"; return l },
			"is not what the key"},
		"another seq": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Seq = 9; return l },
			"is not what the key"},
		"another type":        {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Type = score.TypeScoreSet; return l }, "is not what the key"},
		"another contest":     {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].ContestID = "A/2"; return l }, "it is about A/2"},
		"a swapped signature": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Signature = l[1].Signature; return l }, "is not what the key"},
		"no signature": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Signature = nil; return l },
			"is not what the key"},
		"no key": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Key = ""; return l },
			"a signature and no key"},
		"a key of nobody": {func(l []score.TimelineEvent) []score.TimelineEvent { l[2].Key = "0123456789abcdef"; return l }, "the unknown key"},
		"shown twice": {func(l []score.TimelineEvent) []score.TimelineEvent { return append(l, l[2]) },
			"comes after"},
		"in another order": {func(l []score.TimelineEvent) []score.TimelineEvent { l[1], l[2] = l[2], l[1]; return l },
			"comes after"},
		"data in two versions": {func(l []score.TimelineEvent) []score.TimelineEvent {
			l[2].Data = jsontext.Value(`{"delta":9007199254740993}`)
			return l
		}, "not in canonical form"},
	} {
		t.Run(name, func(t *testing.T) {
			events := c.falsify(shown(t, 5))
			code, out, errs, _ := run(t, frontendShows(t, events, "cacofonix"), "verify", "A/1", "--summary")
			if code != cli.ExitFailed || !strings.Contains(out, "FALSE: ") || !strings.Contains(out, c.says) ||
				!strings.Contains(out, " 1 FALSE; ") || !strings.Contains(errs, "1 events of A/1") {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
			if strings.Contains(out, "verified by") {
				t.Errorf("the summary has more than what is false: %s", out)
			}
		})
	}
}

func TestGivenKeysReplaceThoseOfTheFrontends(t *testing.T) {
	_, mine := keyOf("cacofonix")
	_, other := keyOf("other")
	file := filepath.Join(t.TempDir(), "bard.key")
	key, err := keyfile.New(file)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := cli.ReadPublicKey(file); err != nil || !public.Equal(key.Public()) {
		t.Error(public, err)
	}
	public := filepath.Join(t.TempDir(), "bard.pub")
	if err := os.WriteFile(public, []byte(cli.FormatPublicKey(mine)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys []string
		code int
		says string
	}{
		{[]string{cli.FormatPublicKey(mine)}, cli.ExitOK, "verified by " + score.KeyID(mine)},
		{[]string{cli.FormatPublicKey(other), cli.FormatPublicKey(mine)}, cli.ExitOK, "verified by " +
			score.KeyID(mine)},
		{[]string{cli.FormatPublicKey(other)}, cli.ExitFailed, "not among those given"},
		{[]string{public}, cli.ExitOK, "verified by " + score.KeyID(mine)},
		{[]string{file}, cli.ExitFailed, "not among those given"},
		{[]string{os.DevNull}, cli.ExitUsage, ""},
		{[]string{"AAAA"}, cli.ExitUsage, ""},
	} {
		args := []string{"verify", "A/1"}
		for _, k := range c.keys {
			args = append(args, "--key", k)
		}
		code, out, errs, asked := run(t, frontendShows(t, shown(t, 3), "cacofonix"), args...)
		if code != c.code || !strings.Contains(out, c.says) || strings.Contains(strings.Join(asked, "\n"), "/v1/keys") {
			t.Errorf("%v: exit code %d: %s%s; asked %q", c.keys, code, out, errs, asked)
		}
	}
}

func TestVerifyReportsARevokedKey(t *testing.T) {
	private, _ := keyOf("old")
	delta := mark.Points(1)
	events := []score.Event{{ID: "o-1", Source: "bard/old", Seq: 1, Type: score.TypeScorePlay, ContestID: "A/1",
		Time: time.Unix(0, 0).UTC(), Data: &score.ScorePlay{Competitor: "GAU", Delta: &delta}}}
	if err := signing.Sign(private, testLineage, events); err != nil {
		t.Fatal(err)
	}
	data, err := score.MarshalData(events[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	e := events[0]
	list := []score.TimelineEvent{{ID: e.ID, Source: e.Source, Seq: e.Seq, Type: e.Type, Time: e.Time,
		ContestID: e.ContestID, Data: data, Revision: 1, Key: e.Key, Signature: e.Signature}}
	if code, out, errs, _ := run(t, frontendShows(t, list, "old"), "verify", "A/1"); code != cli.ExitOK ||
		!strings.Contains(out, "(revoked since)") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}
