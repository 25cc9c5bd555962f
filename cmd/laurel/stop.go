package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"laurel/internal/cli"
	"laurel/internal/pidfile"
)

const all = "all"

var stoppable = []string{pidfile.Frontend, pidfile.Bard, pidfile.Client, pidfile.Demo, all}

func newStopCommand() *cobra.Command {
	var s stopRequest
	c := &cobra.Command{
		Use:   "stop frontend|bard|client|demo|all",
		Short: "Stop, kill or pause processes of Laurel on this machine",
		Long: `Sends a signal to the frontends, bards, clients and demos of this user on this machine, and waits until
they have ended.

The processes are found by their pid files in the run directory. A pid alone is never trusted: only the
process that holds the lock on the pid file is signalled, so that a stale file does no harm.

--id selects processes by id or pid; without it, all of the kind are signalled. If one of the ids does
not exist, or two processes have it, nothing is done. A paused process (STOP) is continued so that it
can end.

To list what runs without disturbing it: laurel stop all --signal 0.

Exit codes: 0 all have ended; 1 there were none, or some still run; 2 wrong usage.`,
		Example: `  laurel stop frontend --id f2
  laurel stop frontend --id f2 --signal KILL
  laurel stop frontend --id f1 --signal STOP    # a long pause; CONT ends it
  laurel stop bard
  laurel stop all`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: stoppable,
	}
	flags := c.Flags()
	flags.StringSliceVar(&s.ids, "id", nil, "only the process with this `ID`, or several separated by commas")
	flags.VarP(&s.signal, "signal", "s", "name or number of a signal: TERM, KILL, INT, STOP, CONT ...")
	flags.DurationVar(&s.timeout, "timeout", stopTimeout, "how long to wait until they have ended")
	flags.BoolVar(&s.noWait, "no-wait", false, "do not wait until they have ended")
	cli.NoEnvironment(flags)
	s.signal = signalFlag(syscall.SIGTERM)
	flags.Lookup("signal").DefValue = "TERM"
	s.run = pidfile.AddDirFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if s.timeout <= 0 {
			return cli.Usagef("--timeout is %s; want more than 0, such as 10s", s.timeout)
		}
		s.kind = args[0]
		return s.stop(cmd)
	}
	return c
}

// stopTimeout is how long a command waits for processes to end. A frontend takes at most 11 s:
// see closeLimit and drainLimit of package frontend.
const stopTimeout = 15 * time.Second

type stopRequest struct {
	kind    string
	ids     []string
	signal  signalFlag
	timeout time.Duration
	noWait  bool
	run     *pidfile.DirFlag
}

func (s *stopRequest) stop(cmd *cobra.Command) error {
	list, err := pidfile.List(s.run.Dir())
	if err != nil {
		return err
	}
	defer pidfile.CloseAll(list)
	selected, err := s.selectFrom(list)
	if err != nil {
		return err
	}
	if !s.signal.ends() || s.noWait {
		return s.send(cmd.OutOrStdout(), selected)
	}
	// Demos come first: they restart frontends that die, and stop their own.
	isDemo := func(p *pidfile.Process) bool { return p.Kind == pidfile.Demo }
	err = s.end(cmd, filter(selected, isDemo))
	return errors.Join(err, s.end(cmd, slices.DeleteFunc(selected, isDemo)))
}

// selectFrom selects the processes to signal. It fails unless an id names exactly one.
func (s *stopRequest) selectFrom(list []*pidfile.Process) (selected []*pidfile.Process, err error) {
	ofKind := filter(list, func(p *pidfile.Process) bool { return s.kind == all || p.Kind == s.kind })
	if len(s.ids) == 0 && len(ofKind) == 0 {
		return nil, s.notFound("", list)
	}
	if len(s.ids) == 0 {
		return ofKind, nil
	}
	for _, id := range s.ids {
		found := filter(ofKind, func(p *pidfile.Process) bool { return p.ID == id || strconv.Itoa(p.PID) == id })
		switch {
		case len(found) == 0:
			return nil, s.notFound(" "+id, list)
		case len(found) > 1:
			return nil, fmt.Errorf("nothing was done: there are several: %s; name one by its pid, as in --id %d",
				names(found), found[0].PID)
		case !slices.Contains(selected, found[0]):
			selected = append(selected, found[0])
		}
	}
	return selected, nil
}

func filter(list []*pidfile.Process, keep func(*pidfile.Process) bool) (kept []*pidfile.Process) {
	for _, p := range list {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// notFound returns an error with what runs instead. id is "" or begins with a space.
func (s *stopRequest) notFound(id string, list []*pidfile.Process) error {
	kind, running := s.kind, "nothing runs"
	if kind == all {
		kind = "process"
	}
	if len(list) > 0 {
		running = "running: " + names(list)
	}
	return fmt.Errorf("no %s%s runs here, according to the pid files in %s; %s", kind, id, s.run.Dir(), running)
}

func names(list []*pidfile.Process) string {
	var names []string
	for _, p := range list {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// send sends the signal and does not wait.
func (s *stopRequest) send(out io.Writer, list []*pidfile.Process) error {
	var failed error
	for _, p := range list {
		switch err := p.Signal(syscall.Signal(s.signal)); {
		case errors.Is(err, os.ErrProcessDone):
			fmt.Fprintf(out, "%s has just ended\n", p)
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("send %s to %s: %w", &s.signal, p, err))
		case s.signal == 0:
			fmt.Fprintln(out, p)
		default:
			fmt.Fprintf(out, "sent %s to %s\n", &s.signal, p)
		}
	}
	return failed
}

// end sends the signal and waits until all have ended.
func (s *stopRequest) end(cmd *cobra.Command, list []*pidfile.Process) error {
	overdue := fmt.Errorf("still running after %s; to end it at once: --signal KILL", s.timeout)
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), s.timeout, overdue)
	defer cancel()
	began := time.Now()
	errs := make([]error, len(list))
	for i, p := range list {
		errs[i] = p.Signal(syscall.Signal(s.signal))
		if errs[i] == nil && s.signal != signalFlag(syscall.SIGKILL) {
			errs[i] = p.Signal(syscall.SIGCONT) // a paused process receives the signal only then
		}
	}
	for i, p := range list {
		if errs[i] == nil || errors.Is(errs[i], os.ErrProcessDone) {
			errs[i] = p.Wait(ctx)
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s: %w", p, errs[i])
			continue
		}
		took := time.Since(began).Round(time.Millisecond)
		fmt.Fprintf(cmd.OutOrStdout(), "stopped %s with %s in %s\n", p, &s.signal, took)
	}
	return errors.Join(errs...)
}

// signalFlag is a signal, by name with or without SIG, or by number; 0 only tests.
type signalFlag syscall.Signal

func (f *signalFlag) Set(s string) error {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return fmt.Errorf("got %d; want 0 to 64", n)
		}
		*f = signalFlag(n)
		return nil
	}
	*f = signalFlag(unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")))
	if *f == 0 {
		return fmt.Errorf("got %q; want a name such as TERM, KILL, INT, STOP or CONT, or a number", s)
	}
	return nil
}

func (f *signalFlag) Type() string { return "SIGNAL" }

func (f *signalFlag) String() string {
	if name := unix.SignalName(syscall.Signal(*f)); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return "signal " + strconv.Itoa(int(*f))
}

var endingSignals = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGKILL, syscall.SIGTERM,
}

// ends reports whether a process is expected to end after the signal.
func (f *signalFlag) ends() bool { return slices.Contains(endingSignals, syscall.Signal(*f)) }
