package main

import (
	"strings"
	"syscall"
	"testing"

	"laurel/internal/cli"
)

func TestSignalsAreKnownByNameAndByNumber(t *testing.T) {
	for line, want := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "sigkill": syscall.SIGKILL,
		"Int": syscall.SIGINT, "9": syscall.SIGKILL, "0": 0} {
		var f signalFlag
		if err := f.Set(line); err != nil || syscall.Signal(f) != want {
			t.Errorf("%s is %d (%v); want %d", line, f, err, want)
		}
	}
	for _, line := range []string{"", "KILLED", "-1", "65", "SIG"} {
		var f signalFlag
		if err := f.Set(line); err == nil {
			t.Errorf("%q is taken for signal %d", line, f)
		}
	}
}

func TestStopWithoutAProcessFailsAndNamesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]string{
		"stop all":               "no process runs here",
		"stop bard":              "no bard runs here",
		"stop frontend --id f2":  "no frontend f2 runs here",
		"stop client --signal 9": "no client runs here",
	} {
		t.Setenv("LAUREL_ID", "f1") // the setting of a frontend must not select what is stopped
		code, _, errs, _ := run(t, answers(""), append(strings.Fields(line), "--run-dir", dir)...)
		if code != cli.ExitFailed || !strings.Contains(errs, want) || !strings.Contains(errs, dir) {
			t.Errorf("laurel %s: exit code %d, stderr %q; want %q and the directory", line, code, errs, want)
		}
	}
}

func TestStopAndUpRefuseWrongUsage(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{"stop", "stop everything", "stop all bard", "stop all --signal NOTHING",
		"stop all --timeout 0", "up --frontends 0", "up --frontends 10", "up f1", "up --patience 0"} {
		args := append(strings.Fields(line), "--run-dir", dir)
		if code, _, errs, _ := run(t, answers(""), args...); code != cli.ExitUsage {
			t.Errorf("laurel %s: exit code %d, stderr %q; want wrong usage", line, code, errs)
		}
	}
}
