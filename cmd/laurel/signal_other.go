//go:build !unix

package main

import "syscall"

// There are no pid files here, so laurel stop finds no process to signal.

const signalContinue = syscall.Signal(0)

func signalNumber(string) syscall.Signal { return 0 }

func signalName(syscall.Signal) string { return "" }
