//go:build spy

package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"laurel/cache"
	"laurel/client"
	"laurel/cmd/laurel/spectators"
	"laurel/internal/localgroup"
	"laurel/score"
	"laurel/trust/keyfile"
	"laurel/witness"
)

const (
	// swornFrontends is the least number of which one may be corrupt.
	swornFrontends = 4
	// debugAbove is how far the port of the spy is above that for clients.
	debugAbove = 3000
	// lied is the contest that the spy lies about, once it is over. Rome has lost it.
	lied = "OG50BC/BOA-M-SFNL-01"
	// roman is the competitor to whom the spy gives more points.
	roman, gift = "ROM", 10
	// liePause is how long, at speed 1, the lie stands before the spy is killed.
	liePause = 15 * time.Second
	// storyPoll is how often the story looks how things are.
	storyPoll = 100 * time.Millisecond
	// saysWithin is how long a frontend may take to answer for itself.
	saysWithin = 10 * time.Second
)

// spyDemo is the demo of a sworn group whose master falls to a spy.
type spyDemo struct {
	*demo
	dir       string // of everything
	joinToken string
	urls      string // of all frontends
}

// RunSpy runs the demo with a spy until ctx ends, which is no error.
func RunSpy(ctx context.Context, o Options) error {
	d := &spyDemo{demo: newDemo(o, swornFrontends)}
	return d.inTempDir(func(dir string) error {
		d.dir = dir
		return d.run(ctx)
	})
}

func (d *spyDemo) run(ctx context.Context) error {
	d.o.Group.Enter = d.enter
	work, ctx := errgroup.WithContext(ctx)
	notices, err := d.start(ctx, d.dir)
	if err == nil {
		defer d.stop()
		err = d.prepare(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := d.connect(ctx); err != nil {
		return err
	}
	defer d.client.Close()
	d.intro()
	d.play(ctx, work, notices)
	work.Go(func() error { return d.tell(ctx) })
	return work.Wait()
}

func (d *spyDemo) file(name string) string { return filepath.Join(d.dir, name) }

func (d *spyDemo) operatorKey() string { return d.file("getafix.key") }

// laurel runs a command. An error has what it prints to standard error.
func (d *spyDemo) laurel(ctx context.Context, args ...string) (out, notes string, err error) {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, d.o.Group.Program, args...)
	c.Env = append(d.o.Group.Env, "LAUREL_URL="+d.urls, "LAUREL_POLICY="+d.file("policy"))
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", "", fmt.Errorf("laurel %s: %w: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(stdout.String()), strings.TrimSpace(stderr.String()), nil
}

// signed runs a command with the operator's key.
func (d *spyDemo) signed(ctx context.Context, args ...string) (string, error) {
	out, _, err := d.laurel(ctx, append(args, "--operator-key", d.operatorKey())...)
	return out, err
}

// enter signs a frontend in. The first one founds the group.
func (d *spyDemo) enter(ctx context.Context, f localgroup.Frontend) (args, env []string, err error) {
	debug, err := debugAddress(f)
	if err != nil {
		return nil, nil, err
	}
	args = []string{"--debug", debug}
	if d.urls == "" {
		public, _, err := d.laurel(ctx, "operator", "key", "new", d.operatorKey())
		d.urls = "http://" + f.HTTP
		args = append(args, "--bootstrap", "--sworn", "--operator-key", public, "--operator-name", "getafix")
		return args, nil, err
	}
	if d.joinToken == "" {
		if d.joinToken, err = d.signed(ctx, "cluster", "token", "--uses", strconv.Itoa(d.size-1)); err != nil {
			return nil, nil, err
		}
	}
	key, _, err := d.laurel(ctx, "roster", "key", "--data", f.Dir)
	if err == nil {
		_, err = d.signed(ctx, "roster", "set", f.ID, key)
	}
	return args, []string{"LAUREL_JOIN_TOKEN=" + d.joinToken}, err
}

func debugAddress(f localgroup.Frontend) (string, error) {
	host, port, err := net.SplitHostPort(f.HTTP)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+debugAbove)), err
}

// prepare makes the policy for readers, and a key for the bard.
func (d *spyDemo) prepare(ctx context.Context) error {
	first := d.group.Frontends()[0]
	if _, _, err := d.laurel(ctx, "cluster", "ca", "--out", d.file("ca.pem")); err != nil {
		return err
	}
	authority, err := os.ReadFile(d.file("ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	key, _, err := d.laurel(ctx, "roster", "key", "--data", first.Dir)
	if err != nil {
		return err
	}
	text, err := d.signed(ctx, "policy", first.ID+"="+key)
	if err != nil {
		return err
	}
	policy, err := witness.ReadPolicy([]byte(text + "\n"))
	if err == nil {
		err = os.WriteFile(d.file("policy"), []byte(text+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	bard, err := keyfile.New(d.file("bard.key"))
	if err == nil {
		_, err = d.signed(ctx, "access", "grant", "bard", "--role", "bard", "--key", d.file("bard.key"))
	}
	var urls []string
	for _, f := range d.group.Frontends() {
		urls = append(urls, "http://"+f.HTTP)
	}
	d.urls = strings.Join(urls, ",")
	d.options = client.Options{
		Key: bard, Lineage: policy.Store, Home: d.group.Frontends()[1].ID, TLS: &tls.Config{RootCAs: roots},
	}
	return err
}

// intro prints what runs and what to try.
func (d *spyDemo) intro() {
	d.out.printlnIn(bold, "Four sworn frontends run, a bard signs the Games, and %d clients follow. Soon a spy\n"+
		"gets into the master. Ctrl-C ends everything.", audienceSize)
	for _, f := range d.group.Frontends() {
		note := ""
		if f.ID == d.master {
			note = d.out.styled(green, "  master")
		}
		d.out.println("  %s  http://%s  pid %d%s", d.out.styled(bold, f.ID), f.HTTP, f.PID, note)
	}
	d.out.println("  data and logs: %s", d.dir)
	d.out.println("\nAsk one frontend, or all four with the keys of the policy:")
	for _, line := range []string{
		"curl -H 'Accept: text/plain' http://" + d.group.Frontends()[0].HTTP + "/v1/scores/" + lied,
		"export LAUREL_POLICY=" + d.file("policy"),
		"export LAUREL_URL=" + d.urls,
		"laurel scores " + lied + " --verify=now",
	} {
		d.out.printlnIn(cyan, "  %s", line)
	}
	d.out.println("")
}

// await polls until done returns true. It reports false if ctx ends before.
func await(ctx context.Context, done func() bool) bool {
	for !done() {
		if !spectators.Sleep(ctx, storyPoll) {
			return false
		}
	}
	return ctx.Err() == nil
}

// tell tells the story of the spy.
func (d *spyDemo) tell(ctx context.Context) error {
	over := func() bool {
		r, err := d.client.Score(ctx, lied)
		return err == nil && r.ResultStatus == score.Official
	}
	if !await(ctx, over) {
		return nil
	}
	var master localgroup.Frontend
	found := func() bool {
		now, err := d.client.Frontends(ctx)
		for _, f := range d.group.Frontends() {
			if err == nil && f.ID == now.Master {
				master = f
			}
		}
		return master.ID != ""
	}
	if !await(ctx, found) {
		return nil
	}
	d.out.printlnIn(red, "\n  ** A Roman spy has got into %s, the master: in its memory Rome has %d more boars",
		master.ID, gift)
	// The frontend would otherwise find by itself that its state is another one.
	err := d.order(ctx, master, spyOrder{Lie: "stay"})
	if err == nil {
		err = d.order(ctx, master, spyOrder{"record", lied, roman, gift})
	}
	if err != nil {
		return err
	}
	pause := time.Duration(float64(liePause) / d.o.Speed)
	if !d.showLie(ctx, master) || !d.showVerified(ctx, "--verify=now") || !spectators.Sleep(ctx, pause) {
		return nil
	}
	d.out.printlnIn(red, "  ** The spy gives Rome another boar, and has it in the next round")
	if err := d.order(ctx, master, spyOrder{"result", lied, roman, 1}); err != nil {
		return err
	}
	if !d.showPutOut(ctx, master) || !d.showVerified(ctx, "--verify") || !spectators.Sleep(ctx, pause) {
		return nil
	}
	return d.end(ctx, master)
}

// spyOrder is what the spy is told to do.
type spyOrder struct {
	Lie        string `json:"lie"`
	ContestID  string `json:"contest_id"`
	Competitor string `json:"competitor"`
	Points     int64  `json:"points"`
}

// order tells the spy in a frontend what to do.
func (d *spyDemo) order(ctx context.Context, f localgroup.Frontend, o spyOrder) error {
	lie, err := json.Marshal(&o)
	if err != nil {
		return err
	}
	address, err := debugAddress(f)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/spy", bytes.NewReader(lie))
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("tell the spy: %w", err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("tell the spy: %s", a.Status)
	}
	return nil
}

// says returns the score at a frontend. An answer that the frontend has from the master, because it
// was late itself, is the master's word, and not taken.
func (d *spyDemo) says(ctx context.Context, f localgroup.Frontend) (text string, ok bool) {
	body, head, ok := f.Get(ctx, client.ScorePath(lied))
	var r score.Record
	if !ok || head.Get("Laurel-Cache") == cache.Forward || json.Unmarshal(body, &r) != nil {
		return "", false
	}
	return d.out.matchScore(&r), true
}

// awaitSaid is says, and asks again for a while.
func (d *spyDemo) awaitSaid(ctx context.Context, f localgroup.Frontend) (text string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, saysWithin)
	defer cancel()
	await(ctx, func() bool { text, ok = d.says(ctx, f); return ok })
	return text, ok
}

// showLie shows what each frontend answers, once the corrupt one lies.
func (d *spyDemo) showLie(ctx context.Context, liar localgroup.Frontend) bool {
	truth, ok := "", false
	for _, f := range d.group.Frontends() {
		if f.ID != liar.ID && !ok {
			truth, ok = d.awaitSaid(ctx, f)
		}
	}
	if !await(ctx, func() bool { lie, ok := d.says(ctx, liar); return ok && lie != truth }) {
		return false
	}
	for _, f := range d.group.Frontends() {
		text, ok := d.awaitSaid(ctx, f)
		switch {
		case !ok:
			text = "no answer"
		case text != truth:
			text += d.out.styled(red, "   a lie")
		}
		d.out.println("  %s says  %s", d.out.styled(bold, f.ID), text)
	}
	return true
}

// showVerified shows what a reader accepts: what a quorum says now, or has certified.
func (d *spyDemo) showVerified(ctx context.Context, how string) bool {
	args := []string{"scores", lied, how}
	var out, notes string
	// Answers differ for a moment while a frontend comes or goes.
	accepted := await(ctx, func() (ok bool) {
		var err error
		out, notes, err = d.laurel(ctx, args...)
		return err == nil
	})
	if !accepted {
		return false
	}
	d.out.printlnIn(cyan, "  $ laurel %s", strings.Join(args, " "))
	for _, text := range []string{out, notes} {
		for line := range strings.Lines(text) {
			d.out.println("    %s", strings.TrimRight(line, "\n"))
		}
	}
	return true
}

// showPutOut waits until another frontend has put the corrupt one out, and is served by
// another master.
func (d *spyDemo) showPutOut(ctx context.Context, liar localgroup.Frontend) bool {
	told, master := "", ""
	look := func() bool {
		for _, f := range d.group.Frontends() {
			body, _, ok := f.Get(ctx, "/v1/frontends")
			var s score.Frontends
			if f.ID == liar.ID || !ok || json.Unmarshal(body, &s) != nil {
				continue
			}
			master = s.Master
			for _, m := range s.Frontends {
				if p := m.PutOut; m.ID == liar.ID && p != nil {
					told = fmt.Sprintf("%s was put out at %s by %s: it %s",
						m.ID, p.Since.Format(time.TimeOnly), f.ID, p.Text)
				}
			}
			break
		}
		return told != "" && master != "" && master != liar.ID
	}
	if !await(ctx, look) {
		return false
	}
	d.out.printlnIn(green, "  ** %s", told)
	d.out.printlnIn(green, "  ** %s is the master now, and the Games go on", master)
	return true
}

// end kills the corrupt frontend, which comes back without the spy.
func (d *spyDemo) end(ctx context.Context, liar localgroup.Frontend) error {
	d.out.printlnIn(bold, "  ** An operator stops %s", liar.ID)
	now := d.group.Frontends()
	for _, f := range now {
		if f.ID != liar.ID {
			continue
		}
		p, err := os.FindProcess(f.PID)
		if err == nil {
			err = p.Kill()
		}
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	succeeded := func() bool {
		now, err := d.client.Frontends(ctx)
		return err == nil && now.Master != "" && now.Master != liar.ID
	}
	if !await(ctx, succeeded) || !d.showVerified(ctx, "--verify=now") {
		return nil
	}
	back := func() bool {
		text, ok := d.says(ctx, liar)
		other, known := "", false
		for _, f := range d.group.Frontends() {
			if f.ID != liar.ID && !known {
				other, known = d.says(ctx, f)
			}
		}
		return ok && known && text == other
	}
	if await(ctx, back) {
		d.out.printlnIn(green, "  ** %s has made its state anew from the log, and tells the truth", liar.ID)
	}
	return nil
}
