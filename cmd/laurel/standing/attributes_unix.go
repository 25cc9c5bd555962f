//go:build unix

package standing

import "syscall"

// attributes of a frontend: a session of its own, so that neither Ctrl-C nor the hangup of the terminal reaches it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
