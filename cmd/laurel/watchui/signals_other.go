//go:build !unix

package watchui

import "os"

// terminalSignals is empty: a new size of the terminal is seen at the next drawing.
var terminalSignals []os.Signal

func isSuspend(os.Signal) bool { return false }

func suspend() {}
