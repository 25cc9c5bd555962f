package children

import "syscall"

// attributes of a child: a process group of its own, so that Ctrl-C reaches the parent alone, which then ends the children in order;
// and death with the parent, even where that is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
