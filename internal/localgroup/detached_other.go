//go:build !unix

package localgroup

import "syscall"

func detachedAttributes() *syscall.SysProcAttr { return nil }
