package e2e

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal: the controlling end, which hangs up when it is closed,
// and the end of the programs in it.
func openTerminal(t testing.TB) (terminal, shell *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		skipOrFail(t, "no terminal can be made: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	var number int
	// Not by Fd, as reads would then ignore the deadline.
	raw, err := terminal.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || failed != nil {
		skipOrFail(t, "no terminal can be made: %v %v", err, failed)
	}
	shell, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		skipOrFail(t, "no terminal can be made: %v", err)
	}
	t.Cleanup(func() { shell.Close() })
	return terminal, shell
}

// awaitLine reads the output in a terminal until a line contains a text.
func awaitLine(t testing.TB, terminal *os.File, text string) (output string) {
	t.Helper()
	if err := terminal.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(terminal); ; {
		line, err := r.ReadString('\n')
		output += line
		if strings.Contains(line, text) {
			return output
		}
		if err != nil {
			t.Fatalf("%v; the terminal shows:\n%s", err, output)
		}
	}
}
