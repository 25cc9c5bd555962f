package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// apart runs the test that calls it once more in a network of its own, and tells whether this is that run.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) != "" {
		return true
	}
	err := inOwnNetwork(t.Context(), t.Output(), "-test.run", "^"+t.Name()+"$", "-test.v")
	if errors.Is(err, errNoNetwork) {
		required(t, err)
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

func meshOf(t *testing.T, delay time.Duration) *mesh {
	t.Helper()
	m, err := newMesh(groupSize, delay)
	required(t, err)
	t.Cleanup(m.close)
	return m
}

func TestWhatIsFarFromEachOtherTakesItsTimeAndComesWhole(t *testing.T) {
	if !apart(t) {
		return
	}
	const delay, size = 20 * time.Millisecond, 1 << 20
	m := meshOf(t, delay)
	sites := m.members()
	var l net.Listener
	var err error
	sites[1].do(func() { l, err = net.Listen("tcp", sites[1].host+":0") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	addr := l.Addr().String()
	for name, c := range map[string]struct {
		from        *site
		least, most time.Duration
	}{"far": {sites[0], 2 * delay, 10 * delay}, "near": {sites[1], 0, delay}, "the bench": {nil, 0, delay}} {
		took, err := m.roundTrip(t.Context(), c.from, addr)
		if err != nil || took < c.least || took > c.most {
			t.Errorf("%s: a round trip of %s, %v; want %s to %s", name, took, err, c.least, c.most)
		}
	}
	conn, err := sites[2].dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sent, back := make([]byte, size), make([]byte, size)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	go conn.Write(sent)
	if _, err := io.ReadFull(conn, back); err != nil || string(back) != string(sent) {
		t.Errorf("a megabyte did not come back whole: %v", err)
	}
}

func TestAFewSpectatorsAreServedByTheMemberThatTheyAskNearAndFar(t *testing.T) {
	if testing.Short() {
		t.Skip("builds laurel and starts three frontends and etcd twice")
	}
	if !apart(t) {
		return
	}
	_, err := exec.LookPath("etcd")
	required(t, err)
	const delay = 5 * time.Millisecond
	m := meshOf(t, delay)
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: options{etcd: "etcd", spectateTime: 500 * time.Millisecond, warmup: 100 * time.Millisecond, readRate: 20, spectateRate: 20}, root: root, work: t.TempDir()}
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []show{{laurelName, onLoopback}, {laurelName, atOwn}, {laurelName, atOther}, {etcdName, atOwn}} {
		h, stop, err := b.openHouse(t.Context(), m, s, t.TempDir())
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		a, err := b.attend(t.Context(), h, 6)
		stop()
		// A machine that is very busy loses a lease now and then.
		if err != nil || a.hist.TotalCount() < 20 || a.elsewhere > 10 {
			t.Errorf("%v: %d reads, %v", s, a.hist.TotalCount(), err)
		}
		// etcd must ask the leader, and that a majority.
		far := s.where == atOther || s.system == etcdName
		if far != (a.of(50) >= 2*delay) {
			t.Errorf("%v: %s", s, a)
		}
	}
}

// counted counts what is read, and takes its time for it.
type counted struct {
	contests, medals, lists int
	takes                   time.Duration
}

func (c *counted) contest(_ context.Context, i int) error {
	if i < 0 || i >= contests {
		return errors.New("no such contest")
	}
	c.contests++
	time.Sleep(c.takes)
	return nil
}

func (c *counted) other(_ context.Context, medals bool) error {
	if medals {
		c.medals++
	} else {
		c.lists++
	}
	return nil
}

func (c *counted) elsewhere() int { return 0 }
func (c *counted) close()         {}

func TestSpectatorsReadAsMixedAsLaurelClientAndALateReadCountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chance := rand.New(rand.NewPCG(1, 1))
		now := time.Now()
		c, into := &counted{}, newAttendance()
		if err := watchShow(t.Context(), c, chance, 50, span{now.Add(time.Second), now.Add(21 * time.Second)}, into.hist); err != nil {
			t.Fatal(err)
		}
		all := c.contests + c.medals + c.lists
		if part := float64(c.contests) / float64(all); all < 950 || all > 1150 || part < 0.75 || part > 0.85 || c.medals == 0 || c.lists == 0 {
			t.Errorf("%+v; want about 1,050 reads, 80 %% of contests", c)
		}
		if n := into.hist.TotalCount(); n >= int64(all) || n < 900 || into.hist.Max() > 1 {
			t.Errorf("%d reads of %d took up to %d us; want those of 20 s, which took no time", n, all, into.hist.Max())
		}
		now = time.Now()
		slow, into := &counted{takes: 30 * time.Millisecond}, newAttendance()
		if err := watchShow(t.Context(), slow, chance, 100, span{now, now.Add(time.Second)}, into.hist); err != nil {
			t.Fatal(err)
		}
		if most := into.hist.Max(); most < 500_000 {
			t.Errorf("of reads of 30 ms that are due every 10 ms for a second, the last took %d us", most)
		}
	})
}

func TestTheSpectatorsTableHasEveryCell(t *testing.T) {
	table := spectatorsTable{rounds: map[spectatorsRow][]attendance{}}
	for _, s := range allShows {
		a := newAttendance()
		for i := range 100 {
			_ = a.hist.RecordValue(int64(i+1) * 100)
		}
		a.mean, a.perSecond, a.elsewhere = 5*time.Millisecond, 1234, 7
		row := spectatorsRow{6, s}
		table.rows, table.rounds[row] = append(table.rows, row), []attendance{a}
	}
	got := table.markdown()
	for _, want := range []string{"| 6 | laurel | on one machine | 5.00 | 9.01 | 9.90 | 5.00 | 1,234 | 7 |", "| 6 | etcd | apart, asks a far one |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	o := options{clients: []int{6, 10, 14}, spectateTime: time.Second, readRate: 5, spectateRate: 10}
	if err := o.checkSpectators(); err != nil {
		t.Error(err)
	}
	o.distance = time.Second
	if o.checkSpectators() == nil {
		t.Error("a distance at which no election ends is taken")
	}
}
