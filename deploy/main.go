// Command deploy builds the packages of a release from the source tree around it:
//
//	go -C deploy run . --out DIR [archives] [deb] [image] [sbom]
//
// Without names it builds all: archives for Linux and macOS, a Debian package and an
// image for amd64 and arm64, and a list of the modules in them. DIR, which is made if it
// is missing, then has SHA256SUMS, too.
//
// The same commit, with the same Go, gives the same bytes. Times in the packages are that
// of the commit, or SOURCE_DATE_EPOCH. The version is that of package internal/cli.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		stop()
		os.Exit(1)
	}
}

// linux is the targets of packages for servers; archives are also for macOS. Windows is
// left out: package trust/keyfile needs the owner of a file as Unix has it.
var (
	linux = []target{{"linux", "amd64"}, {"linux", "arm64"}}
	all   = append(slices.Clone(linux), target{"darwin", "arm64"})
)

// part is something that can be built.
type part struct {
	name  string
	build func(ctx context.Context, r *release, out string) error
}

// parts is all parts, in the order in which they are built.
var parts = []part{
	{"archives", func(ctx context.Context, r *release, out string) error {
		for _, t := range all {
			if err := r.archive(ctx, t, out); err != nil {
				return err
			}
		}
		return nil
	}},
	{"deb", func(ctx context.Context, r *release, out string) error {
		for _, t := range linux {
			if _, err := r.deb(ctx, t.arch, out); err != nil {
				return err
			}
		}
		return nil
	}},
	{"image", func(ctx context.Context, r *release, out string) error { return r.writeImage(ctx, linux, out) }},
	{"sbom", func(ctx context.Context, r *release, out string) error { return r.sbom(ctx, all, out) }},
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	out := flags.String("out", "", "`directory` for the packages")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("--out is missing: name the directory for the packages")
	}
	for _, name := range flags.Args() {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %s; name archives, deb, image or sbom, or nothing for all", name)
		}
	}
	r, err := newRelease(ctx, "..")
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	dir, err := filepath.Abs(*out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range parts {
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), p.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s of Laurel %s\n", p.name, r.version)
		if err := p.build(ctx, r, dir); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return writeSums(dir)
}
