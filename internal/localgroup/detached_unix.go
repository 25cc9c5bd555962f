//go:build unix

package localgroup

import "syscall"

// detachedAttributes puts a process into a session of its own, so that neither Ctrl-C nor
// the hangup of the terminal reaches it.
func detachedAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
