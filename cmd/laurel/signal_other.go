//go:build !unix

package main

import "syscall"

// signalContinue does not exist here. A process can only be killed, and has no pid file.
const signalContinue = syscall.Signal(0)

func signalNumber(name string) syscall.Signal {
	switch name {
	case "SIGKILL":
		return syscall.SIGKILL
	case "SIGTERM":
		return syscall.SIGTERM
	case "SIGINT":
		return syscall.SIGINT
	}
	return 0
}

func signalName(syscall.Signal) string { return "" }
