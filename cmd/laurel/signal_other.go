//go:build !unix

package main

import "syscall"

// Here a process can be killed and nothing else, and has no pid file to find it by.
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
