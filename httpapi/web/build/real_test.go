package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// newSite is the group that a test looks at: real frontends, processes of their own, where LAUREL_WEB_REAL is set.
func newSite(t testing.TB, size int) site {
	if os.Getenv("LAUREL_WEB_REAL") == "" {
		return newFakeSite(t, size)
	}
	needBrowser(t)
	s := &realSite{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		for i := range s.fronts {
			s.Kill(i)
		}
	})
	for i := range size {
		f := &realFront{id: "f" + strconv.Itoa(i+1), http: freeAddr(t), peer: freeAddr(t)}
		s.fronts = append(s.fronts, f)
		f.entry = []string{"--bootstrap"}
		if i > 0 {
			f.entry = []string{"--join", s.URL(0)}
		}
		s.Start(i)
	}
	for i := range size {
		eventually(t, "every frontend has a vote and serves", func() bool {
			g, err := s.ask(i)
			ready := 0
			for _, m := range g.Frontends {
				if m.Voter && m.Leased {
					ready++
				}
			}
			return err == nil && ready == size
		})
	}
	return s
}

// programs is the directory of laurel and bard, which are built once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "laurel-web-")
	if err != nil {
		return "", err
	}
	removeProgram = func() { _ = os.RemoveAll(dir) }
	build := exec.Command("go", "build", "-o", dir, "./cmd/laurel", "./cmd/bard")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

var removeProgram = func() {}

type realSite struct {
	t      testing.TB
	dir    string
	fronts []*realFront
}

type realFront struct {
	id, http, peer string
	entry          []string
	process        *exec.Cmd // nil while it is dead
}

func (s *realSite) URL(i int) string { return "http://" + s.fronts[i].http }

func (s *realSite) Kill(i int) {
	if f := s.fronts[i]; f.process != nil {
		_ = f.process.Process.Kill()
		_ = f.process.Wait() // that it was killed is known
		f.process = nil
	}
}

func (s *realSite) Start(i int) {
	s.t.Helper()
	dir, err := programs()
	if err != nil {
		s.t.Fatal(err)
	}
	f := s.fronts[i]
	log, err := os.OpenFile(filepath.Join(s.dir, f.id+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{"frontend", "--insecure", "--id", f.id, "--data", filepath.Join(s.dir, f.id), "--http", f.http, "--peer", f.peer}, f.entry...)
	f.process = exec.Command(filepath.Join(dir, "laurel"), args...)
	f.process.Stdout, f.process.Stderr = log, log
	if err := f.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	if i == 0 {
		// The others join it.
		eventually(s.t, "the first frontend answers", func() bool {
			_, err := s.ask(0)
			return err == nil
		})
	}
}

func (s *realSite) ask(i int) (g score.Frontends, err error) {
	resp, err := http.Get(s.URL(i) + "/v1/frontends")
	if err != nil {
		return g, err
	}
	defer resp.Body.Close()
	return g, json.UnmarshalRead(resp.Body, &g)
}

func (s *realSite) Watchers(i int) int {
	g, err := s.ask(i)
	if err != nil {
		return 0
	}
	for _, m := range g.Frontends {
		if m.ID == s.fronts[i].id {
			return m.Watchers
		}
	}
	return 0
}

// Post posts through whichever frontend takes it. Without a seq an event must not be posted twice, so only a refused connection is tried again.
func (s *realSite) Post(events ...string) {
	s.t.Helper()
	body := []byte("[" + strings.Join(events, ",") + "]")
	eventually(s.t, "the post is taken", func() bool {
		for i, f := range s.fronts {
			if f.process == nil {
				continue
			}
			resp, err := http.Post(s.URL(i)+"/v1/events", "application/json", bytes.NewReader(body))
			if err != nil {
				continue
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
			if resp.StatusCode < 500 {
				s.t.Fatalf("%s", answer)
			}
		}
		return false
	})
}

func freeAddr(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
