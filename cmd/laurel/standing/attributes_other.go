//go:build !unix

package standing

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
