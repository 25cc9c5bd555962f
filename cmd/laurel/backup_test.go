package main

import (
	"strings"
	"testing"

	"laurel/internal/cli"
)

func TestABackupOrALineageThatCannotBeMeantIsWrongUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--bootstrap --backup /var/backups":                "--backup: want file:///DIR",
		"--bootstrap --backup s3://id:hidden@games":        "--backup: it has credentials",
		"--bootstrap --backup file:///b?every=never":       "--backup: every=",
		"--join https://127.0.0.1:1 --lineage gaul":        "--lineage is for the group that --bootstrap makes",
		"--bootstrap --lineage Gaul":                       "--lineage is \"Gaul\"",
		"--bootstrap --lineage " + strings.Repeat("a", 33): "--lineage is",
	} {
		all := append([]string{"frontend", "--id", "f1", "--data", t.TempDir()}, strings.Fields(args)...)
		code, _, errs, _ := run(t, answers("{}"), all...)
		if code != cli.ExitUsage || !strings.Contains(errs, want) || strings.Contains(errs, "hidden") {
			t.Errorf("%s: exit code %d, stderr %q; want %q", args, code, errs, want)
		}
	}
}
