package doctor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"laurel/score"
	"laurel/trust/pki"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// healthy is an environment in which nothing is wrong.
func healthy() *Environment {
	return &Environment{
		Now:         func() time.Time { return now },
		Stat:        func(string) (fs.FileInfo, error) { return info{mode: fs.ModeDir | 0o700}, nil },
		TryWrite:    func(string) error { return nil },
		Free:        func(string) (int64, error) { return 1 << 40, nil },
		FileSystem:  func(string) (string, error) { return "ext4", nil },
		Sync:        func(string, int, time.Duration) ([]time.Duration, error) { return took(time.Millisecond), nil },
		OpenFiles:   func() (uint64, error) { return 65536, nil },
		ClockSynced: func() (bool, error) { return true, nil },
		Listen:      func(string) error { return nil },
		Lookup:      func(context.Context, string) error { return nil },
		Probe: func(context.Context, string) (Answer, error) {
			return Answer{Asked: now, Took: time.Millisecond, Date: now, Expires: now.Add(60 * day)}, nil
		},
		Dial: func(context.Context, string, *pki.Identity) (string, error) { return "", nil },
	}
}

type info struct {
	fs.FileInfo
	mode fs.FileMode
	size int64
}

func (i info) Mode() fs.FileMode { return i.mode }
func (i info) IsDir() bool       { return i.mode.IsDir() }
func (i info) Size() int64       { return i.size }

// took returns a hundred times, the slowest two of them as given.
func took(slowest time.Duration) []time.Duration {
	times := make([]time.Duration, 100)
	times[7], times[50] = slowest, slowest
	return times
}

// group returns a subject whose group has three frontends.
func group() *Subject {
	return &Subject{
		Dir: "/data", HTTP: "venue:8001", Peer: "venue:9001", URLs: []string{"https://venue:8001"}, Named: true,
		Unreadable: fs.ErrNotExist,
		Group: &score.Frontends{Master: "f1", Frontends: []score.Frontend{
			{ID: "f1", URL: "https://venue:8001", Peer: "venue:9001", State: score.Serving},
			{ID: "f2", URL: "https://10.0.0.2:8001", Peer: "10.0.0.2:9001", State: score.Serving},
			{ID: "f3", URL: "https://10.0.0.3:8001", Peer: "10.0.0.3:9001", State: score.Serving},
		}},
	}
}

func TestAHealthyFrontendHasNothingToBeDone(t *testing.T) {
	for _, r := range Examine(t.Context(), healthy(), group()) {
		if r.Status != OK || r.Advice != "" || r.Found == "" {
			t.Errorf("%+v", r)
		}
	}
}

// TestEachCheckWarnsAndFails changes one thing at a time: exactly one check must notice.
func TestEachCheckWarnsAndFails(t *testing.T) {
	failing := errors.New("it is raining")
	for _, c := range []struct {
		name   string
		change func(e *Environment, p *Subject)
		check  string
		want   Status
		found  string
	}{
		{"few files", func(e *Environment, _ *Subject) { e.OpenFiles = func() (uint64, error) { return 4096, nil } },
			"open files", Warn, "4096"},
		{"too few files", func(e *Environment, _ *Subject) { e.OpenFiles = func() (uint64, error) { return 512, nil } },
			"open files", Fail, "512"},
		{"a clock that nobody sets", func(e *Environment, _ *Subject) { e.ClockSynced = func() (bool, error) { return false, nil } },
			"clock", Warn, "not synchronised"},
		{"others can read", func(e *Environment, _ *Subject) {
			e.Stat = func(string) (fs.FileInfo, error) { return info{mode: fs.ModeDir | 0o755}, nil }
		}, "data", Warn, "755"},
		{"no directory", func(e *Environment, _ *Subject) {
			e.Stat = func(string) (fs.FileInfo, error) { return info{mode: 0o700}, nil }
		}, "data", Fail, "no directory"},
		{"may not be written", func(e *Environment, _ *Subject) { e.TryWrite = func(string) error { return failing } },
			"data", Fail, "raining"},
		{"a container's layer", func(e *Environment, _ *Subject) {
			e.FileSystem = func(string) (string, error) { return "overlay", nil }
		}, "file system", Warn, "overlay"},
		{"a network's file system", func(e *Environment, _ *Subject) {
			e.FileSystem = func(string) (string, error) { return "nfs", nil }
		}, "file system", Fail, "nfs"},
		{"little room", func(e *Environment, _ *Subject) { e.Free = func(string) (int64, error) { return 500 << 20, nil } },
			"room", Warn, "500 MiB"},
		{"no room", func(e *Environment, _ *Subject) { e.Free = func(string) (int64, error) { return 50 << 20, nil } },
			"room", Fail, "50 MiB"},
		{"a slow disk", func(e *Environment, _ *Subject) {
			e.Sync = func(string, int, time.Duration) ([]time.Duration, error) { return took(60 * time.Millisecond), nil }
		}, "disk", Warn, "60ms"},
		{"a dead disk", func(e *Environment, _ *Subject) {
			e.Sync = func(string, int, time.Duration) ([]time.Duration, error) { return took(time.Second), nil }
		}, "disk", Fail, "1s"},
		{"a failing disk", func(e *Environment, _ *Subject) {
			e.Sync = func(string, int, time.Duration) ([]time.Duration, error) { return nil, failing }
		}, "disk", Fail, "raining"},
		{"a damaged certificate", func(_ *Environment, p *Subject) { p.Unreadable = failing }, "certificate", Fail, "raining"},
		{"another program's port", func(e *Environment, _ *Subject) {
			e.Listen = func(addr string) error {
				if addr == "venue:9001" {
					return failing
				}
				return nil
			}
		}, "port --peer", Fail, "raining"},
		{"an unknown name", func(e *Environment, _ *Subject) {
			e.Lookup = func(context.Context, string) error { return failing }
		}, "names", Fail, "venue"},
		{"no master", func(_ *Environment, p *Subject) { p.Group.Master = "" }, "group", Fail, "no master"},
		{"one is away", func(_ *Environment, p *Subject) { p.Group.Frontends[2].State = score.Unreachable }, "group", Warn, "f3"},
		{"one has no room", func(_ *Environment, p *Subject) { p.Group.Frontends[1].NoRoom = true }, "group", Fail, "f2"},
		{"two versions", func(_ *Environment, p *Subject) {
			p.Group.Frontends[0].Version, p.Group.Frontends[1].Version = "0.1.0", "0.2.0"
		},
			"group", Warn, "0.1.0, 0.2.0"},
		{"one is put out", func(_ *Environment, p *Subject) { p.Group.Frontends[1].PutOut = &score.PutOut{} }, "group", Fail, "f2"},
		{"nobody answers for clients", at("https://10.0.0.2:8001", Answer{}, failing), "frontend", Fail, "10.0.0.2:8001: it is raining"},
		{"a clock that is late", at("https://10.0.0.2:8001", Answer{Asked: now, Date: now.Add(-10 * time.Second)}, nil),
			"frontend", Warn, "differ by 10s"},
		{"a clock that is wrong", at("https://10.0.0.2:8001", Answer{Asked: now, Date: now.Add(time.Hour)}, nil),
			"frontend", Fail, "differ by 1h"},
		{"a certificate that ends", at("https://10.0.0.2:8001", Answer{Asked: now, Date: now, Expires: now.Add(3 * day)}, nil),
			"frontend", Warn, "in 3 days"},
		{"a certificate that has ended", at("https://10.0.0.2:8001", Answer{Asked: now, Date: now, Expires: now.Add(-day)}, nil),
			"frontend", Fail, "expired"},
		{"a firewall before a port for members", func(e *Environment, _ *Subject) {
			e.Dial = func(_ context.Context, addr string, _ *pki.Identity) (string, error) {
				if addr == "10.0.0.3:9001" {
					return "", failing
				}
				return "", nil
			}
		}, "peer", Fail, "f3 at 10.0.0.3:9001"},
		{"another member at an address", func(e *Environment, _ *Subject) {
			e.Dial = func(_ context.Context, addr string, _ *pki.Identity) (string, error) {
				return map[string]string{"venue:9001": "f1@a", "10.0.0.2:9001": "f2@b", "10.0.0.3:9001": "f2@b"}[addr], nil
			}
		}, "peer", Fail, "f2@b answers there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, p := healthy(), group()
			c.change(e, p)
			noticed := 0
			for _, r := range Examine(t.Context(), e, p) {
				if r.Status == OK {
					continue
				}
				noticed++
				if r.Check != c.check || r.Status != c.want || !strings.Contains(r.Found, c.found) || r.Advice == "" {
					t.Errorf("%+v; want a %s of %q that has %q", r, c.want, c.check, c.found)
				}
			}
			if noticed != 1 {
				t.Errorf("%d checks notice it; want 1", noticed)
			}
		})
	}
}

// at answers as the frontend at one URL.
func at(url string, a Answer, err error) func(*Environment, *Subject) {
	return func(e *Environment, _ *Subject) {
		others := e.Probe
		e.Probe = func(ctx context.Context, at string) (Answer, error) {
			if at == url {
				return a, err
			}
			return others(ctx, at)
		}
	}
}

func TestAPortInUseIsRightWhereAFrontendRuns(t *testing.T) {
	e, p := healthy(), group()
	e.Listen = func(string) error { return syscall.EADDRINUSE }
	for _, r := range checkPorts(t.Context(), e, p) {
		if r.Status != OK {
			t.Errorf("a frontend runs, and %+v", r)
		}
	}
	e.Probe = func(context.Context, string) (Answer, error) { return Answer{}, errors.New("refused") }
	for _, r := range checkPorts(t.Context(), e, p) {
		if r.Status != Fail {
			t.Errorf("no frontend runs, and %+v", r)
		}
	}
}

func TestNoGroupIsAFailureOnlyIfOneWasNamed(t *testing.T) {
	p := group()
	p.Group, p.NoGroup, p.Named = nil, errors.New("refused"), false
	if r := checkGroup(p); r.Status != Warn {
		t.Errorf("%+v", r)
	}
	if p.Named = true; checkGroup(p).Status != Fail {
		t.Errorf("%+v", checkGroup(p))
	}
}

func TestACertificateIsJudgedByItsRenewalAndItsEnd(t *testing.T) {
	renewal, end := now, now.Add(30*day)
	for at, want := range map[time.Duration]Status{-day: OK, day: OK, day + 1: Warn, 30*day - 1: Warn, 30 * day: Fail} {
		if r := expiry("certificate", now.Add(at), renewal, end, "of f1"); r.Status != want {
			t.Errorf("%s after the time to renew it: %+v; want %s", at, r, want)
		}
	}
}

func TestADataDirectoryThatIsNotThereIsNoFault(t *testing.T) {
	e := ThisMachine(nil)
	defer e.close()
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, r := range []Result{checkDirectory(e, dir), checkSync(e, dir), checkRoom(e, dir), checkFileSystem(e, dir)} {
		if r.Status == Fail {
			t.Errorf("%+v", r)
		}
	}
}

func TestMeasuringTheDiskLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	times, err := writeAndSync(dir, 5, time.Minute)
	if err != nil || len(times) != 5 {
		t.Errorf("%v, %v", times, err)
	}
	if times, err := writeAndSync(dir, 5, 0); err != nil || len(times) != 0 {
		t.Errorf("after the limit: %v, %v", times, err)
	}
	if err := tryWrite(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v are left (%v)", left, err)
	}
}

func TestAProbeComparesClocksByWholeSeconds(t *testing.T) {
	var ahead atomic.Int64 // a probe that was given up may still be answered
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Laurel-Frontend", "f1")
		w.Header().Set("Date", time.Now().Add(time.Duration(ahead.Load())).UTC().Format(http.TimeFormat))
	}))
	defer s.Close()
	e := ThisMachine(nil)
	defer e.close()
	probe := e.Probe
	e.Probe = func(ctx context.Context, url string) (a Answer, err error) {
		for begun := time.Now(); time.Since(begun) < time.Minute; { // a busy machine holds one up for seconds
			if a, err = probe(ctx, url); err == nil && a.Took < time.Second {
				break
			}
		}
		return a, err
	}
	for _, c := range []struct {
		ahead time.Duration
		want  Status
	}{{0, OK}, {-time.Minute, Warn}, {time.Hour, Fail}} {
		ahead.Store(int64(c.ahead))
		p := &Subject{URLs: []string{s.URL}, Named: true}
		if r := checkFrontends(t.Context(), e, p); len(r) != 1 || r[0].Status != c.want {
			t.Errorf("a clock %s ahead: %+v; want %s", c.ahead, r, c.want)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := probe(t.Context(), other.URL); err == nil {
		t.Error("a server that is no frontend is taken for one")
	}
}

func TestResultsAreWrittenInALineAndItsAdvice(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, []Result{ok("clock", "synchronised"), found("room", Fail, "make room", "1 MiB is free")})
	const want = "ok   clock        synchronised\nfail room         1 MiB is free\n                  make room\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &b, want)
	}
}
