package localgroup

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C reaches
// the parent alone, which then stops the children in order. The kernel kills the child
// when the parent dies, even by SIGKILL.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
