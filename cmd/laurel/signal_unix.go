//go:build unix

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const signalContinue = unix.SIGCONT

func signalNumber(name string) syscall.Signal { return unix.SignalNum(name) }

func signalName(s syscall.Signal) string { return unix.SignalName(s) }
