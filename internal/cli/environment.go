package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Annotations of flags.
const (
	variable  = "laurel_variable"  // the name of the variable, where it is not made from the flag's
	fromTyped = "laurel_typed"     // the flag is set on the command line or not at all
	described = "laurel_described" // the usage text names the variable already
)

// Variable names the environment variable of a flag. Without it that is LAUREL_ and the flag's name: --time-scale is LAUREL_TIME_SCALE.
func SetVariable(flags *pflag.FlagSet, flag, name string) {
	annotate(flags.Lookup(flag), variable, name)
}

// NoEnvironment keeps the environment out of flags that say what is posted: an id left over from a frontend's settings must not become an event's.
func NoEnvironment(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		annotate(flags.Lookup(name), fromTyped, "")
	}
}

func annotate(f *pflag.Flag, key, value string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = []string{value}
}

// variableOf is the variable of f, "" if it has none.
func variableOf(f *pflag.Flag) string {
	if _, typed := f.Annotations[fromTyped]; typed || f.Name == "help" || f.Name == "version" {
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

// readEnvironment sets the flags that were not typed from their variables. An empty variable is none.
func readEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		v := variableOf(f)
		if v == "" || f.Changed || failed != nil {
			return
		}
		if value, ok := lookup(v); ok && value != "" {
			if err := flags.Set(f.Name, value); err != nil {
				failed = fmt.Errorf("the environment variable %s: %w", v, err)
			}
		}
	})
	return failed
}
