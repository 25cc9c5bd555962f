package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// signalFlag is a signal by its name, with or without SIG, or by its number; 0 asks whether a process is there.
type signalFlag syscall.Signal

func (f *signalFlag) Set(s string) error {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return fmt.Errorf("got %d; want 0 to 64", n)
		}
		*f = signalFlag(n)
		return nil
	}
	number := signalNumber("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	if number == 0 {
		return fmt.Errorf("got %q; want a name such as TERM, KILL, INT, STOP or CONT, or a number", s)
	}
	*f = signalFlag(number)
	return nil
}

func (f *signalFlag) Type() string { return "SIGNAL" }

func (f *signalFlag) String() string {
	if name := signalName(syscall.Signal(*f)); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return "signal " + strconv.Itoa(int(*f))
}

// ends tells whether the signal is one after which a process is expected to end.
func (f *signalFlag) ends() bool {
	return slices.Contains([]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGKILL, syscall.SIGTERM}, syscall.Signal(*f))
}

// waitsForPaused tells whether a paused process hears of the signal only when it runs again.
func (f *signalFlag) waitsForPaused() bool { return f.ends() && syscall.Signal(*f) != syscall.SIGKILL }
