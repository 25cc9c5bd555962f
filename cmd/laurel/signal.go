package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// signalFlag is a signal, by name with or without SIG, or by number. 0 tests whether a
// process exists.
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

var endingSignals = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGKILL, syscall.SIGTERM,
}

// ends reports whether a process is expected to end after the signal.
func (f *signalFlag) ends() bool { return slices.Contains(endingSignals, syscall.Signal(*f)) }

// needsContinue reports whether a paused process receives the signal only when it
// continues.
func (f *signalFlag) needsContinue() bool { return f.ends() && syscall.Signal(*f) != syscall.SIGKILL }
