// Package cli is the common part of the commands laurel and bard: exit codes, output that
// is safe for a terminal, flags that environment variables can set, flags that name the
// frontends to talk to, and files with keys.
//
// [Main] runs a command. [AddTarget] and [Target.Client] make its client.
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
	"github.com/spf13/pflag"

	"laurel/client"
	"laurel/client/verify"
)

// Exit codes. ExitDisk, ExitRemoved, ExitContradiction, ExitGoBack and ExitFormat are for
// frontends only: see FrontendExitCodes.
const (
	ExitOK            = 0
	ExitFailed        = 1 // refused, failed, or perhaps done
	ExitUsage         = 2 // wrong usage
	ExitUnreachable   = 3 // no frontend could be reached, or too few agree; what was not reported as done was not sent
	ExitDisk          = 4 // the disk failed, is full or hangs
	ExitRemoved       = 5 // the frontend was removed from the group
	ExitContradiction = 6 // the data directory contradicts the group
	ExitFork          = 7 // certificates contradict each other: several frontends are corrupt
	ExitGoBack        = 8 // the frontend of a sworn group must go back, and does so when it is started again
	ExitFormat        = 9 // the group or the data directory has a format that this version does not read
)

// FrontendExitCodes explains the exit codes of a frontend in its help.
const FrontendExitCodes = `Exit codes:
  0  it stopped on a signal;
  1  it was refused, or failed for another reason than those below;
  2  wrong usage;
  4  the disk failed, is full or hangs. No acknowledged event is lost; start the frontend again when the disk
     works;
  5  it was removed from its group. It can come back only as a new member, with an empty data directory;
  6  its data directory contradicts what the group has committed: something is missing, damaged or rolled
     back, or the majority of the voters has another state after the same entry. Remove the
     frontend from the group, empty the directory and let it join again. In a sworn group the directory can
     be right, and the last line of the log says what to do first;
  8  its history is not the one that the frontends of its sworn group have certified. Started again, it goes
     back to what is certified, and takes the rest from the others. The third time within an hour it ends
     with 6;
  9  the group, or the data directory, has a format that this version of laurel does not read. Nothing is
     lost: start it with the version that the other frontends run.
A service manager must restart it after 8, and may after 1 and 4, but not after 2, 5, 6 and 9; with systemd:
RestartPreventExitStatus=2 5 6 9.`

// ExitError is an error that ends the program with an exit code.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

// Usagef formats an error about wrong usage.
func Usagef(format string, args ...any) error {
	return &ExitError{ExitUsage, fmt.Errorf(format, args...)}
}

// Main runs the command that the program's arguments name and returns the exit code. The
// first SIGINT or SIGTERM ends the command's context; the second ends the program.
func Main(root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, root)
}

// Run is Main with a given context.
func Run(ctx context.Context, root *cobra.Command) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(printer{root.OutOrStdout()})
	root.SetErr(printer{root.ErrOrStderr()})
	root.PersistentPreRunE = readEnvironment
	running := false
	prepare(root, &running)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	code := exitCode(err)
	if !running && code == ExitFailed {
		// Cobra has no type for its errors about the command line.
		code = ExitUsage
	}
	// The further lines are indented: a frontend must not speak in the name of the program.
	text := strings.ReplaceAll(err.Error(), "\n", "\n  ")
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", root.Name(), text)
	if code == ExitUsage {
		fmt.Fprintf(cmd.ErrOrStderr(), "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

func exitCode(err error) int {
	if e, ok := errors.AsType[*ExitError](err); ok {
		return e.Code
	}
	if errors.As(err, new(*client.UnreachableError)) || errors.As(err, new(*verify.NoQuorumError)) ||
		errors.As(err, new(*verify.UnverifiedError)) {
		return ExitUnreachable
	}
	return ExitFailed
}

// prepare makes the help of cmd and its subcommands name the variables of their flags,
// and sets running when one of them begins to run.
func prepare(cmd *cobra.Command, running *bool) {
	for _, sub := range cmd.Commands() {
		prepare(sub, running)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		// Otherwise cobra succeeds for an unknown subcommand of a subcommand.
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if v := variableOf(f); v != "" {
			f.Usage += " [$" + v + "]"
		}
	})
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*running = true
			return run(cmd, args)
		}
	}
}

// variable is the annotation of a flag with its variable if that is not the default; ""
// if it has none.
const variable = "laurel_variable"

// NoEnvironment excludes the flags that are defined so far from the environment. It is
// for flags that describe a request: the LAUREL_ID of a frontend must not become the id
// of an event.
func NoEnvironment(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) { setVariable(f, "") })
}

func setVariable(f *pflag.Flag, name string) { f.Annotations = map[string][]string{variable: {name}} }

// variableOf returns the environment variable of a flag, "" if it has none. The default
// is LAUREL_ and the name of the flag: LAUREL_TIME_SCALE for --time-scale.
func variableOf(f *pflag.Flag) string {
	if v := f.Annotations[variable]; len(v) > 0 {
		return v[0]
	}
	if f.Name == "help" || f.Name == "version" {
		return ""
	}
	return "LAUREL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// readEnvironment sets the flags that are not given from variables that are not empty.
func readEnvironment(cmd *cobra.Command, _ []string) (err error) {
	flags := cmd.Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(variableOf(f))
		if value == "" || f.Changed || err != nil {
			return
		}
		if err = flags.Set(f.Name, value); err != nil {
			err = fmt.Errorf("environment variable %s: %w", variableOf(f), err)
		}
	})
	return err
}

// Release is the version of the release that this tree is, or becomes. Its tag is v and this.
const Release = "0.1.0"

// Version returns Release and, if the program was built from a checkout, the commit:
// 0.1.0+c15d7b5e4f2a. A checkout with changes that are not committed adds .modified.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Release
	}
	return version(info.Settings)
}

func version(settings []debug.BuildSetting) string {
	text, suffix := Release, ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			text += "+" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			suffix = ".modified"
		}
	}
	if text == Release {
		return text
	}
	return text + suffix
}
