// Package cli is what laurel and bard have in common as commands: flags that the environment can set, exit codes, and where the
// frontends are.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"laurel/client"
)

// Exit codes. Those from ExitDisk on are a frontend's: see FrontendExitCodes.
const (
	ExitOK            = 0
	ExitFailed        = 1 // refused, or failed
	ExitUsage         = 2 // wrong usage
	ExitUnreachable   = 3 // no frontend could be reached
	ExitDisk          = 4 // the disk failed, is full or hangs
	ExitRemoved       = 5 // the frontend was removed from the group
	ExitContradiction = 6 // the data directory contradicts the group
)

// FrontendExitCodes is what a frontend's help says of its exit codes.
const FrontendExitCodes = `Exit codes:
  0  it was told to stop, and did;
  1  it was refused, or failed in another way than these;
  2  wrong usage;
  4  the disk failed, is full or hangs: nothing acked is lost; start it again when the disk is well;
  5  it was removed from its group: it can come back only as a new member, with an empty data directory;
  6  its data directory contradicts what the group has committed: something is missing, damaged or rolled
     back. Take it out of the group, empty the directory and let it join anew.
A service manager may start it again after 1 and 4, and must not after 5 and 6; systemd:
RestartPreventExitStatus=5 6.`

// ExitError ends the program with a code of its own.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

// Usagef is an error of whoever typed the command.
func Usagef(format string, args ...any) error {
	return &ExitError{ExitUsage, fmt.Errorf(format, args...)}
}

// Main runs the command that the program's arguments name and gives the program's exit code. The command's context ends with the first SIGINT or
// SIGTERM; the second ends the program.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, root)
}

// Run is Main under a context of the caller's.
func Run(ctx context.Context, root *cobra.Command) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	running := false
	prepare(root, &running)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	code := exitCode(err)
	if !running && code == ExitFailed {
		// Cobra has no type for what it finds wrong before the command itself runs.
		code = ExitUsage
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", root.Name(), err)
	if code == ExitUsage {
		fmt.Fprintf(cmd.ErrOrStderr(), "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

func exitCode(err error) int {
	var e *ExitError
	var u *client.UnreachableError
	switch {
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &u):
		return ExitUnreachable
	}
	return ExitFailed
}

// prepare lets cmd, and all below it, take its flags from the environment, and tells when it has come to run.
func prepare(cmd *cobra.Command, running *bool) {
	for _, sub := range cmd.Commands() {
		prepare(sub, running)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		// Without this, cobra answers an unknown subcommand of a subcommand with help and success.
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if cmd.RunE == nil {
		return
	}
	describeEnvironment(cmd.LocalFlags())
	before, run := cmd.PreRunE, cmd.RunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := readEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
			return err
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		*running = true
		return run(cmd, args)
	}
}

// Version is the version of the module, or the commit that the program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if commit == "" {
		return "unknown"
	}
	return strings.TrimSpace("commit " + commit + changed)
}
