//go:build !linux

package localgroup

import "syscall"

// childAttributes returns nil: a child receives Ctrl-C together with its parent, which
// may stop it twice but does not leave it behind.
func childAttributes() *syscall.SysProcAttr { return nil }
