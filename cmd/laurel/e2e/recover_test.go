package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	laurel "laurel/client"
	"laurel/internal/cli"
	"laurel/score"
)

// lastSeq returns the last seq of the group's source that f has.
func (g *secureGroup) lastSeq(f *frontend) int {
	g.t.Helper()
	s := decode[score.Bard](g.t, g.must(f, "GET", "/v1/bards/test/trust", ""))
	if s.LastSeq > uint64(g.posted) {
		g.t.Errorf("%s has seq %d after %d events", f.id, s.LastSeq, g.posted)
	}
	return int(s.LastSeq)
}

// storeWatcher notes the incarnations that a watcher of everything is given.
type storeWatcher struct {
	mu        sync.Mutex
	newStores int
	events    []uint64 // revisions, of the present incarnation
	err       error
}

func (g *secureGroup) watchStore(ctx context.Context) *storeWatcher {
	g.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(get(g.t, g.frontends[0].url+"/v1/cluster/authority").body)) {
		g.t.Fatal("the authority's certificate cannot be read")
	}
	var urls []string
	for _, f := range g.frontends {
		urls = append(urls, "https://"+f.http)
	}
	c, err := laurel.New(urls, laurel.Options{TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		g.t.Fatal(err)
	}
	w := new(storeWatcher)
	go func() {
		defer c.Close()
		for u, err := range c.Watch(ctx, laurel.WatchOptions{Timelines: []string{"OG50BC/rain"}}) {
			w.mu.Lock()
			if u.NewStore {
				w.newStores++
				w.events = nil
			}
			for _, e := range u.Timeline {
				w.events = append(w.events, e.Revision)
			}
			w.err = errors.Join(w.err, err)
			w.mu.Unlock()
		}
	}()
	return w
}

func (w *storeWatcher) has(events, stores int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || len(w.events) != events || w.newStores != stores || !slices.IsSorted(w.events) {
		return fmt.Errorf("it has %d events and saw %d new stores, %v; want %d and %d", len(w.events), w.newStores, w.err, events, stores)
	}
	return nil
}

// comeBack starts a frontend of the group that was lost with a copy of its data.
func (f *frontend) comeBack(data string) {
	old := *f
	old.data, old.entry = data, []string{"--join", f.group.frontends[2].url}
	old.start()
	if code := old.exit(f.group.t); code != cli.ExitRemoved {
		f.group.t.Errorf("the lost %s ended with exit code %d; want %d\n%s", f.id, code, cli.ExitRemoved, old.output(f.group.t))
	}
	mark, err := os.ReadFile(filepath.Join(data, "removed"))
	if err != nil || !strings.Contains(string(mark), "recovered") {
		f.group.t.Errorf("the lost %s notes %q, %v", f.id, mark, err)
	}
}

// Two of three lose their disks. What the third has goes on, with all that its log has; what only the two had
// acknowledged is the declared cut, and is sung again.
func TestAGroupThatHasLostItsMajorityGoesOnWithWhatOneFrontendHas(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	lost, left := g.frontends[:2], g.frontends[2]
	for i := range 9 {
		g.post(g.frontends[i%3])
	}
	left.holdKey()
	watcher := g.watchStore(t.Context())
	eventually(t, "the watcher has everything", func() error { return watcher.has(9, 0) })
	g.expectRevision(9) // at each, and on each disk
	left.stop()
	for range 5 { // the cut
		g.post(lost[0])
	}
	o := command(t, "laurel", "cluster", "recover", "--data", left.data, "--i-accept-data-loss")
	if o.code != cli.ExitFailed || !strings.Contains(o.err, "a majority of the voters") {
		t.Errorf("while two of three run: %v", o)
	}
	var copies []string
	for _, f := range lost {
		f.Kill()
		copies = append(copies, f.copyData())
		if err := os.RemoveAll(f.data); err != nil {
			t.Fatal(err)
		}
	}
	look := command(t, "laurel", "cluster", "recover", "--data", left.data)
	if look.code != cli.ExitFailed || !strings.Contains(look.out, "LOST") || !strings.Contains(look.err, "nothing was changed") {
		t.Errorf("without a word about data loss: %v", look)
	}
	mustRun(t, "laurel", "cluster", "recover", "--data", left.data, "--i-accept-data-loss")
	left.entry = nil
	left.start().waitReady()
	if n := g.lastSeq(left); n != 9 {
		t.Errorf("the recovered frontend has %d events; want 9", n)
	}
	for i, f := range lost {
		f.comeBack(copies[i])
	}
	eventually(t, "the watcher begins anew", func() error { return watcher.has(9, 1) })
	g.posted = g.lastSeq(left)
	for range 5 { // sung again
		g.post(left)
	}
	g.joinToken(2)
	for _, f := range lost {
		f.entry = []string{"--join", left.url}
		f.start().waitReady()
	}
	for _, f := range g.frontends {
		f.holdKey()
		g.post(f)
	}
	for _, f := range g.frontends {
		eventually(t, f.id+" has everything", func() error {
			if n := g.lastSeq(f); n != g.posted {
				return fmt.Errorf("it has %d of %d events", n, g.posted)
			}
			return nil
		})
	}
	eventually(t, "the watcher has everything", func() error { return watcher.has(g.posted, 1) })
	for i := range lost { // and both at once, while all of the new group run
		if mark, err := os.ReadFile(filepath.Join(copies[i], "removed")); err != nil || len(mark) == 0 {
			t.Error(err)
		}
	}
	left.Kill() // the new group stands the loss of the one that was left
	g.master()
	g.post(lost[0])
	g.expectSecretsKept()
}

func TestASecureGroupThatMovesAtOnceFindsItselfThroughOneAddress(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	for _, f := range g.frontends {
		f.holdKey()
		g.post(f)
	}
	for _, f := range g.frontends {
		f.Kill()
	}
	first := g.frontends[0]
	for _, f := range g.frontends {
		f.move(freePort(t), freePort(t))
	}
	_, port, err := net.SplitHostPort(first.http)
	if err != nil {
		t.Fatal(err)
	}
	// The first one knows no address, and the last one only the name of the first.
	first.entry = nil
	g.frontends[1].entry = []string{"--join", first.url}
	g.frontends[2].entry = []string{"--join", "https://localhost:" + port}
	for _, f := range g.frontends {
		f.start()
	}
	for _, f := range g.frontends {
		f.waitReady()
	}
	for _, f := range g.frontends {
		g.post(f)
	}
	for _, f := range g.frontends {
		for _, other := range g.frontends {
			eventually(t, f.id+" knows where "+other.id+" is", func() error {
				m, err := f.member(other.id)
				if err == nil && (m.Peer != other.peer || m.State != score.Serving) {
					err = fmt.Errorf("it sees %+v", m)
				}
				return err
			})
		}
	}
}
