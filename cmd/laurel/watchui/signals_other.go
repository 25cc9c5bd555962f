//go:build !unix

package watchui

import "os"

// Here a terminal tells nothing: a new size is seen when the board is drawn the next time.
var watched []os.Signal

func suspends(os.Signal) bool { return false }

func suspend() {}
