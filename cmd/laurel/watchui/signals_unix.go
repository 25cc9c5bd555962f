//go:build unix

package watchui

import (
	"os"
	"syscall"
)

// watched are the signals that concern a screen: its terminal has another size, or the shell wants it back for a while.
var watched = []os.Signal{syscall.SIGWINCH, syscall.SIGTSTP}

func suspends(s os.Signal) bool { return s == syscall.SIGTSTP }

// suspend stops this process until the shell says fg.
func suspend() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }
