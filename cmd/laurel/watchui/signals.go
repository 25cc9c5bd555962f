package watchui

import (
	"os"
	"syscall"
)

// terminalSignals is sent when the terminal has another size, and when the user suspends
// the program.
var terminalSignals = []os.Signal{syscall.SIGWINCH, syscall.SIGTSTP}

func isSuspend(s os.Signal) bool { return s == syscall.SIGTSTP }

// suspend stops this process until the shell continues it.
func suspend() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }
