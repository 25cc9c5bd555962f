//go:build !linux

package children

import "syscall"

// attributes of a child: none. It gets Ctrl-C together with its parent, which may end it twice over but does not leave it behind.
func attributes() *syscall.SysProcAttr { return nil }
