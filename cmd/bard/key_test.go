package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"laurel/internal/cli"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/trust/keyfile"
	"laurel/trust/signing"
)

// alone runs the program without a group.
func alone(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	c := newBardCommand()
	c.SetArgs(args)
	c.SetOut(&o)
	c.SetErr(&e)
	code = cli.Run(t.Context(), c)
	return code, o.String(), e.String()
}

// newKey makes a key with bard key new.
func newKey(t *testing.T) (file string, public ed25519.PublicKey) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "bard.key")
	code, out, errs := alone(t, "key", "new", "--out", file)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	key, err := keyfile.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	public = key.Public().(ed25519.PublicKey)
	if out != cli.FormatPublicKey(public)+"\n" || !strings.Contains(errs, score.KeyID(public)) ||
		!strings.Contains(errs, "laurel access grant bard/NAME --role bard --key "+cli.FormatPublicKey(public)) {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
	return file, public
}

// checkSigned checks that n events were accepted, all signed with the key.
func checkSigned(t *testing.T, g *testgroup.Group, public ed25519.PublicKey, n int) {
	t.Helper()
	events := g.Events("OG50BC", "OG50BC/1")
	if len(events) != n {
		t.Fatalf("%d events; want %d", len(events), n)
	}
	var v signing.Verifier
	for i := range events {
		form, err := signing.Form(&events[i])
		if err != nil || events[i].Key != score.KeyID(public) || !v.Verify(public, events[i].Lineage, form, events[i].Signature) {
			t.Fatalf("event %d is not signed: %+v, %v", i, events[i], err)
		}
	}
}

func TestANewKeyIsReadableByItsOwnerOnlyAndNeverOverwritten(t *testing.T) {
	file, _ := newKey(t)
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if code, _, errs := alone(t, "key", "new", "--out", file); code != cli.ExitFailed ||
		!strings.Contains(errs, "lost key cannot be restored") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := alone(t, "alert", "A", "--text", "x", "--key", file); code != cli.ExitUsage ||
		!strings.Contains(errs, "chmod 600") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestAKeyIsShownWithoutItsSecret(t *testing.T) {
	file, public := newKey(t)
	code, out, errs := alone(t, "key", "show", file)
	if code != cli.ExitOK || out != cli.FormatPublicKey(public)+"\n" {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	for _, wrong := range []string{"nowhere", os.Args[0]} {
		if code, _, _ := alone(t, "key", "show", wrong); code != cli.ExitFailed {
			t.Errorf("%s: exit code %d", wrong, code)
		}
	}
}

func TestAnEventCommandSignsUnderTheNameOfItsKey(t *testing.T) {
	g := group(t, 1)
	file, public := newKey(t)
	g.Register("bard/cacofonix", public)
	for range 2 {
		if code, _, errs := bard(t.Context(), g, nil, "alert", "OG50BC", "--text", "boar",
			"--key", file); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	t.Setenv("LAUREL_KEY", file)
	if code, _, errs := bard(t.Context(), g, nil, "alert", "OG50BC", "--text", "boar",
		"--source", "bard/cacofonix/2"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	checkSigned(t, g, public, 3)
	if got := g.Events("OG50BC", "OG50BC/1"); got[1].Source != "bard/cacofonix" || got[1].Seq != 2 ||
		got[2].Source != "bard/cacofonix/2" {
		t.Errorf("accepted %+v", got)
	}
}

func TestAKeyThatIsNotRegisteredNeedsASource(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	file, _ := newKey(t)
	if code, _, errs := bard(t.Context(), g, nil, "alert", "OG50BC", "--text", "boar",
		"--key", file); code != cli.ExitFailed || !strings.Contains(errs, "is not registered") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestAStreamIsSignedAndContinuesAfterAnInterruption(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	file, public := newKey(t)
	g.Register("bard/cacofonix", public)
	for _, n := range []int{700, 2000} {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(alerts(n)), "sing", "-",
			"--key", file); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		checkSigned(t, g, public, n)
	}
	wantAccepted(t, g, 2000)
}

func TestEventsWithoutSourcesAreSignedUnderTheNameOfTheKeyAndAreDuplicatesTheSecondTime(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	file, public := newKey(t)
	g.Register("bard/cacofonix", public)
	song := ""
	for i := range 50 {
		song += fmt.Sprintf(`{"type":"alert","time":"2026-02-09T10:00:%02dZ","contest_id":"OG50BC","data":{"text":"line %d"}}`+"\n", i, i)
	}
	for range 2 {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(song), "sing", "-",
			"--key", file); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	checkSigned(t, g, public, 50)
	if s := g.Events("OG50BC", "OG50BC/1")[0].Source; !strings.HasPrefix(s, "bard/cacofonix/sung/") {
		t.Errorf("the source is %s", s)
	}
}

// signedSong returns alerts that are signed with a key for a store.
func signedSong(t *testing.T, file, lineage string, n int) (song string) {
	t.Helper()
	key, err := keyfile.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	var events []score.Event
	for line := range strings.Lines(alerts(n)) {
		e, problem := score.Decode([]byte(line))
		if problem != nil {
			t.Fatal(problem)
		}
		events = append(events, e)
	}
	if err := signing.Sign(key, lineage, events); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		form, err := signing.Form(&events[i])
		if err != nil {
			t.Fatal(err)
		}
		song += string(signing.EventJSON(form, lineage, events[i].Signature)) + "\n"
	}
	return song
}

func lineageOf(g *testgroup.Group) string { return g.Frontends[0].Member().Lineage() }

func TestSignedEventsCanBePostedByAnybody(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	file, public := newKey(t)
	second, _ := newKey(t)
	g.Register("bard/cacofonix", public)
	song := signedSong(t, file, lineageOf(g), 10)
	for _, args := range [][]string{{"--key", second}, nil} { // then again, without any key
		code, _, errs := bard(t.Context(), g, strings.NewReader(song), append([]string{"sing", "-"}, args...)...)
		if code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	checkSigned(t, g, public, 10)
}

func TestEventsSignedForAnotherStoreAreRefused(t *testing.T) {
	t.Parallel()
	g, rehearsal := group(t, 1), group(t, 1)
	file, public := newKey(t)
	g.Register("bard/cacofonix", public)
	rehearsal.Register("bard/cacofonix", public)
	song := signedSong(t, file, lineageOf(rehearsal), 3)
	code, _, errs := bard(t.Context(), g, strings.NewReader(song), "sing", "-")
	if code != cli.ExitFailed || !strings.Contains(errs, `signed for the store "`+lineageOf(rehearsal)+`"`) ||
		!strings.Contains(errs, `this is the store "`+lineageOf(g)+`"`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	// One key may sign for many stores.
	for _, to := range []*testgroup.Group{rehearsal, g} {
		if code, _, errs := bard(t.Context(), to, strings.NewReader(alerts(3)), "sing", "-",
			"--key", file); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		checkSigned(t, to, public, 3)
	}
}

// A false frontend that knows where else a key has rights could name that store, and post
// there what it gets.
func TestAKeySignsOnlyForTheStoreThatItsFrontendsHad(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	file, public := newKey(t)
	g.Register("bard/cacofonix", public)
	alert := func(args ...string) (code int, errs string) {
		code, _, errs = bard(t.Context(), g, strings.NewReader(""),
			append([]string{"alert", "OG50BC/1", "--text", "rain", "--key", file}, args...)...)
		return code, errs
	}
	for range 2 {
		if code, errs := alert(); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	stores, err := os.ReadFile(file + ".stores")
	if want := score.KeyID(public) + " " + g.Frontends[0].URL + " " + lineageOf(g) + "\n"; err != nil || string(stores) != want {
		t.Fatalf("it remembers %q (%v); want %q", stores, err, want)
	}
	other := strings.ReplaceAll(string(stores), lineageOf(g), "rehearsal")
	if err := os.WriteFile(file+".stores", []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, errs := alert(); code != cli.ExitFailed || !strings.Contains(errs, "nothing was signed") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, _, errs := bard(t.Context(), g, strings.NewReader(alerts(3)), "sing", "-", "--key", file); code != cli.ExitFailed ||
		!strings.Contains(errs, "nothing was signed") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	checkSigned(t, g, public, 2)
	// With --lineage the user decides, and the frontends refuse another store.
	if code, errs := alert("--lineage", lineageOf(g)); code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, errs := alert("--lineage", "rehearsal"); code != cli.ExitFailed ||
		!strings.Contains(errs, `signed for the store "rehearsal"`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, errs := alert("--lineage", "RÉ"); code != cli.ExitUsage {
		t.Errorf("exit code %d: %s", code, errs)
	}
	checkSigned(t, g, public, 3)
}

func TestALineThatCannotBeSignedIsNamed(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	file, _ := newKey(t)
	for want, line := range map[string]string{
		"line 1, event a: it has no time":               `{"id":"a","source":"bard/c","seq":1,"type":"alert","contest_id":"A","data":{"text":"x"}}`,
		"line 1, event b: it has a source but no seq":   `{"id":"b","source":"bard/c","time":"2026-02-09T10:00:00Z","type":"alert","contest_id":"A","data":{"text":"x"}}`,
		"line 1, event c: invalid_event: data.text":     `{"id":"c","source":"bard/c","seq":1,"time":"2026-02-09T10:00:00Z","type":"alert","contest_id":"A","data":{}}`,
		"is not registered, so the events have no sour": `{"id":"d","time":"2026-02-09T10:00:00Z","type":"alert","contest_id":"A","data":{"text":"x"}}`,
	} {
		if code, _, errs := bard(t.Context(), g, strings.NewReader(line), "sing", "-",
			"--key", file); code != cli.ExitFailed || !strings.Contains(errs, want) {
			t.Errorf("exit code %d: %s; want %s", code, errs, want)
		}
	}
}
