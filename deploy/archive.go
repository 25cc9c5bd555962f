package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// file is a file or directory of a package.
type file struct {
	path  string      // where it is installed, without a leading slash
	from  string      // the file that has its content; "" for a directory
	mode  fs.FileMode // permissions
	owner int         // id of its user and group; 0 is root
}

// writeTar writes files with one time. Equal files give equal bytes.
func writeTar(w io.Writer, files []file, at time.Time) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Name: f.path, Mode: int64(f.mode.Perm()), Uid: f.owner, Gid: f.owner, ModTime: at,
			Format: tar.FormatPAX}
		if f.from == "" {
			h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
			if f.mode&fs.ModeSticky != 0 {
				h.Mode |= 0o1000
			}
			if err := t.WriteHeader(h); err != nil {
				return err
			}
			continue
		}
		if err := writeFile(t, h, f.from); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeFile(t *tar.Writer, h *tar.Header, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, in)
	return err
}

// archive writes laurel_VERSION_OS_ARCH.tar.gz: the programs, their manual, and the files
// of deploy that those need who run a group without a package.
func (r *release) archive(ctx context.Context, t target, out string) error {
	name := fmt.Sprintf("laurel_%s_%s", r.version, t)
	files := []file{{path: name, mode: 0o755}}
	for _, p := range programs {
		from, err := r.program(ctx, t, p)
		if err != nil {
			return err
		}
		files = append(files, file{path: path.Join(name, p), from: from, mode: 0o755})
	}
	for _, f := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		files = append(files, file{path: path.Join(name, f), from: filepath.Join(r.root, f), mode: 0o644})
	}
	manual, err := r.documents(ctx)
	if err != nil {
		return err
	}
	for _, f := range manual {
		f.path = path.Join(name, strings.TrimPrefix(f.path, "usr/"))
		files = append(files, f)
	}
	for _, dir := range []string{"systemd", "kubernetes", "prometheus", "grafana"} {
		entries, err := os.ReadDir(filepath.Join(r.root, "deploy", dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			place := path.Join("deploy", dir, e.Name())
			files = append(files, file{path: path.Join(name, place), from: filepath.Join(r.root, place), mode: 0o644})
		}
	}
	return create(filepath.Join(out, name+".tar.gz"), func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		return errors.Join(writeTar(z, files, r.time), z.Close())
	})
}

// create writes a file by write.
func create(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
