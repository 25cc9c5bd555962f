package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a fenced block of a Markdown file.
type block struct {
	info string // the word after the fence
	text string
	line int // of the fence
}

// blocksOf returns the fenced blocks of a Markdown text.
func blocksOf(text string) (blocks []block) {
	open := false
	n := 0
	for line := range strings.Lines(text) {
		n++
		switch {
		case strings.HasPrefix(line, "```") && open:
			open = false
		case strings.HasPrefix(line, "```"):
			open = true
			blocks = append(blocks, block{info: strings.TrimSpace(strings.TrimPrefix(line, "```")), line: n})
		case open:
			blocks[len(blocks)-1].text += line
		}
	}
	return blocks
}

// A reader takes longer to type the next command than the others to elect a master; bash does not.
const (
	killsMaster  = "./laurel stop frontend --id f1 --signal KILL\n"
	awaitsMaster = `until [[ $(./laurel cluster status --json) =~ '"master":"f'[23] ]]; do :; done` + "\n"
	showsStatus  = "./laurel cluster status\n"
	awaitsStatus = "until ./laurel cluster status; do :; done\n" // there may be another election
)

// TestTheBlocksOfTheReadmeRunLiterally runs all shell blocks of README.md (fence word sh) one after the other
// in one bash. Every command must succeed. A block without a fence word after a shell block is what the
// reader sees, so it must be in the output of that block. Blocks with another word, such as console, are not
// run.
func TestTheBlocksOfTheReadmeRunLiterally(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	for _, name := range []string{"bash", "curl", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			skipOrFail(t, "%v", err)
		}
	}
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := blocksOf(string(text))
	dir := readmeDir(t)
	outputs := filepath.Join(dir, "outputs")
	if err := os.Mkdir(outputs, 0o700); err != nil {
		t.Fatal(err)
	}

	// With errexit, bash ends at the first command that fails. BLOCK tells in which block that was.
	script := "set -eu -o pipefail\nip link set lo up\n"
	ran := 0
	for _, b := range blocks {
		if b.info == "sh" {
			ran++
			text := strings.ReplaceAll(b.text, showsStatus, awaitsStatus)
			text = strings.ReplaceAll(text, killsMaster, killsMaster+awaitsMaster)
			script += fmt.Sprintf("echo %d > BLOCK\nexec > outputs/%d 2>&1\nset -x\n%s\n{ set +x; } 2>/dev/null\n",
				b.line, b.line, text)
		}
	}
	if ran == 0 || !strings.Contains(script, killsMaster) {
		t.Fatal("README.md has no block with the fence word sh, or none in which the master is killed")
	}
	output := func(line int) string {
		b, err := os.ReadFile(filepath.Join(outputs, fmt.Sprint(line)))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if err := runReadme(t, dir, script); err != nil {
		failed, _ := os.ReadFile(filepath.Join(dir, "BLOCK"))
		line := 0
		_, _ = fmt.Sscan(string(failed), &line)
		t.Fatalf("the block at README.md:%d failed: %v\n%s", line, err, output(line))
	}
	for i, b := range blocks {
		if b.info != "" || i == 0 || blocks[i-1].info != "sh" {
			continue
		}
		got := output(blocks[i-1].line)
		if !strings.Contains(got, strings.TrimSpace(b.text)) {
			t.Errorf("README.md:%d shows\n%s\nbut the output is\n%s", b.line, b.text, got)
		}
	}
}

// readmeDir makes a directory in which the blocks can run as in a clone: it has the test data, and a go
// command that builds in the repository, where the build cache is warm.
func readmeDir(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	goCommand := fmt.Sprintf(`#!/bin/bash
here=$PWD
cd %q || exit 1
args=()
for a in "$@"; do
	[ "$a" = . ] && a=$here/
	args+=("$a")
done
PATH=${PATH#*:} exec go "${args[@]}"
`, root)
	err = errors.Join(os.Symlink(filepath.Join(root, "testdata"), filepath.Join(dir, "testdata")),
		os.Mkdir(filepath.Join(dir, "bin"), 0o700),
		os.WriteFile(filepath.Join(dir, "bin", "go"), []byte(goCommand), 0o700),
		os.Mkdir(filepath.Join(dir, "xdg"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// runReadme runs a script in a network namespace of its own, where its ports are free, and ends all of its
// processes afterwards.
func runReadme(t *testing.T, dir, script string) error {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", "-c", script)
	c.Dir = dir
	c.Env = append(slices.DeleteFunc(cleanEnv(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"LAUREL_RUN_DIR", "XDG_RUNTIME_DIR", "PATH"}, name)
	}), "XDG_RUNTIME_DIR="+filepath.Join(dir, "xdg"), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Start(); err != nil {
		skipOrFail(t, "no network namespace: %v", err)
	}
	defer func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // jobs in the background
		stop := exec.Command(program(t, "laurel"), "stop", "all", "--signal", "KILL")
		stop.Env = c.Env
		_ = stop.Run() // fails if nothing runs any more
	}()
	overdue := time.AfterFunc(patience, func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	defer overdue.Stop()
	return c.Wait()
}
