package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Annotations of flags.
const (
	variable      = "laurel_variable"       // the name of the variable, if it does not follow from the flag's
	noEnvironment = "laurel_no_environment" // the flag has no variable
	described     = "laurel_described"      // the usage text names the variable already
)

// SetVariable sets the environment variable of a flag. The default is LAUREL_ and the
// name of the flag: LAUREL_TIME_SCALE for --time-scale.
func SetVariable(flags *pflag.FlagSet, flag, name string) {
	annotate(flags.Lookup(flag), variable, name)
}

// NoEnvironment excludes flags from the environment. It is for flags that describe a
// request: the LAUREL_ID of a frontend must not become the id of an event.
func NoEnvironment(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(flags.Lookup(name), noEnvironment, "")
	}
}

func annotate(f *pflag.Flag, key, value string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = []string{value}
}

// variableOf returns the variable of f, "" if it has none.
func variableOf(f *pflag.Flag) string {
	if _, excluded := f.Annotations[noEnvironment]; excluded || f.Name == "help" || f.Name == "version" {
		return ""
	}
	if v := f.Annotations[variable]; len(v) > 0 {
		return v[0]
	}
	return "LAUREL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

func describeEnvironment(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if _, done := f.Annotations[described]; done {
			return
		}
		if v := variableOf(f); v != "" {
			annotate(f, described, "")
			f.Usage += " [$" + v + "]"
		}
	})
}

// readEnvironment sets the flags that are not on the command line from their variables,
// if these are not empty.
func readEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		v := variableOf(f)
		if v == "" || f.Changed || failed != nil {
			return
		}
		if value, ok := lookup(v); ok && value != "" {
			if err := flags.Set(f.Name, value); err != nil {
				failed = fmt.Errorf("environment variable %s: %w", v, err)
			}
		}
	})
	return failed
}
