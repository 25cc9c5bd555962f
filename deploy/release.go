package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// programs is the commands that a package has.
var programs = []string{"laurel", "bard"}

// target is an operating system and an architecture, in Go's words.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "_" + t.arch }

var native = target{runtime.GOOS, runtime.GOARCH}

// release is one version of Laurel, and what has been built of it. It is for one goroutine.
type release struct {
	root    string    // the source tree
	work    string    // directory for what is built on the way
	version string    // such as 0.1.0
	build   string    // the version with the commit, as laurel --version prints it
	time    time.Time // of everything in the packages
	manual  []file    // manual pages and completions, once they are made
}

// newRelease returns the release of the source tree at root. The caller removes its work directory.
func newRelease(ctx context.Context, root string) (*release, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	r := &release{root: root}
	if r.time, err = sourceTime(ctx, root); err != nil {
		return nil, err
	}
	if r.work, err = os.MkdirTemp("", "laurel-deploy-"); err != nil {
		return nil, err
	}
	said, err := r.say(ctx, "laurel", "--version")
	if err == nil {
		fields := strings.Fields(said)
		r.build = fields[len(fields)-1]
		r.version, _, _ = strings.Cut(r.build, "+")
		return r, nil
	}
	return nil, errors.Join(err, os.RemoveAll(r.work))
}

// sourceTime returns SOURCE_DATE_EPOCH or, without it, the time of the commit.
func sourceTime(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(ctx, "git", "-C", root, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("time of the commit: %w; set SOURCE_DATE_EPOCH to build without git", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// program returns the path of a program for t, which is built unless it was before.
func (r *release) program(ctx context.Context, t target, name string) (string, error) {
	path := filepath.Join(r.work, t.String(), name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	c := exec.CommandContext(ctx, "go", "build", "-C", r.root, "-trimpath", "-buildvcs=auto", "-ldflags=-s -w",
		"-o", path, "./cmd/"+name)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch, "GOFLAGS=", "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build of %s for %s: %w\n%s", name, t, err, out)
	}
	return path, nil
}

// say returns what a program prints on this machine.
func (r *release) say(ctx context.Context, name string, args ...string) (string, error) {
	path, err := r.program(ctx, native, name)
	if err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Env = []string{"HOME=" + r.work} // no LAUREL_ variable has a say
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// put writes a file that is made on the way, and returns it with the place where it is to
// be installed.
func (r *release) put(place, text string) (file, error) {
	from := filepath.Join(r.work, "made", filepath.FromSlash(place))
	if err := os.MkdirAll(filepath.Dir(from), 0o755); err != nil {
		return file{}, err
	}
	return file{path: place, from: from, mode: 0o644}, os.WriteFile(from, []byte(text), 0o644)
}

// writeSums writes SHA256SUMS of all files in dir, as sha256sum does.
func writeSums(dir string) error {
	const name = "SHA256SUMS"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		if e.Name() == name || !e.Type().IsRegular() {
			continue
		}
		sum, err := sumOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(sums.String()), 0o644)
}

func sumOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}
