package hclogger

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// lines returns the lines of a log, without their times.
func lines(b *bytes.Buffer) []string {
	var list []string
	for line := range strings.Lines(b.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, line)
	}
	b.Reset()
	return list
}

func newLog(level slog.Level, quiet func() bool) (hclog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return New(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})), quiet), &b
}

func expect(t *testing.T, b *bytes.Buffer, want ...string) {
	t.Helper()
	if got := lines(b); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRepeatedFailuresAreOneLineAndThenASummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, b := newLog(slog.LevelInfo, nil)
		fail := func(peer string) { log.Error("failed to heartbeat to", "peer", peer, "error", errors.New("refused")) }
		for range 9 {
			fail("f2")
			fail("f3")
		}
		expect(t, b,
			`level=INFO msg="raft: failed to heartbeat to" peer=f2 error=refused`,
			`level=INFO msg="raft: failed to heartbeat to" peer=f3 error=refused`)
		time.Sleep(summaryPause - 1)
		fail("f2")
		expect(t, b)
		time.Sleep(time.Nanosecond)
		fail("f2")
		expect(t, b, `level=INFO msg="raft: failed to heartbeat to" peer=f2 error=refused repeated=9`)
		time.Sleep(summaryPause)
		fail("f2") // nothing was repeated
		expect(t, b, `level=INFO msg="raft: failed to heartbeat to" peer=f2 error=refused`)
	})
}

func TestAllLinesAreThereAtDebug(t *testing.T) {
	log, b := newLog(slog.LevelDebug, nil)
	for range 3 {
		log.Error("failed to heartbeat to", "peer", "f2")
	}
	log.Info("entering follower state")
	log.Debug("votes needed")
	expect(t, b,
		`level=INFO msg="raft: failed to heartbeat to" peer=f2`,
		`level=DEBUG msg="raft: failed to heartbeat to" peer=f2`,
		`level=DEBUG msg="raft: failed to heartbeat to" peer=f2`,
		`level=DEBUG msg="raft: entering follower state"`,
		`level=DEBUG msg="raft: votes needed"`)
}

func TestOnlyFailuresOfThisMemberAreWarnings(t *testing.T) {
	log, b := newLog(slog.LevelInfo, nil)
	log.Error("failed to get log", "index", 7)
	log.Error("failed to make requestVote RPC", "target", "f2")
	log.Error("failed to decode incoming command", "error", "EOF")
	log.Warn("heartbeat timeout reached, starting election")
	log.Info("entering leader state")
	expect(t, b,
		`level=WARN msg="raft: failed to get log" index=7`,
		`level=INFO msg="raft: failed to make requestVote RPC" target=f2`,
		`level=INFO msg="raft: failed to decode incoming command" error=EOF`,
		`level=INFO msg="raft: heartbeat timeout reached, starting election"`)
}

func TestAQuietLoggerLogsAtDebugAlone(t *testing.T) {
	quiet := false
	log, b := newLog(slog.LevelInfo, func() bool { return quiet })
	quiet = true
	log.Error("failed to get log")
	expect(t, b)
	quiet = false
	log.Error("failed to get log")
	expect(t, b, `level=WARN msg="raft: failed to get log"`)
}

func TestKindsOfLinesAreBounded(t *testing.T) {
	log, b := newLog(slog.LevelInfo, nil)
	s := &sink{log: slog.New(slog.DiscardHandler), kinds: map[string]*kind{}}
	for i := range 3 * maxKinds {
		s.Accept("", hclog.Warn, "rejecting vote request", "from", fmt.Sprintf("f%d", i))
		if len(s.kinds) > maxKinds {
			t.Fatalf("%d kinds are remembered", len(s.kinds))
		}
	}
	log.Warn("an argument is missing", "from") // hclog completes it
	if got := lines(b); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}
