package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageUser is the user and group of the frontend in a container, which has no other one.
const imageUser = 65532

// image returns the image for a target: a layer with what a program may look for on any
// machine, and a layer with the programs.
func (r *release) image(ctx context.Context, t target) (v1.Image, error) {
	base, err := r.imageBase()
	if err != nil {
		return nil, err
	}
	bin := []file{{path: "usr", mode: 0o755}, {path: "usr/bin", mode: 0o755}}
	for _, p := range programs {
		from, err := r.program(ctx, t, p)
		if err != nil {
			return nil, err
		}
		bin = append(bin, file{path: "usr/bin/" + p, from: from, mode: 0o755})
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for i, files := range [][]file{base, bin} {
		layer, err := r.layer(files, filepath.Join(r.work, fmt.Sprintf("layer-%s-%d.tar", t, i)))
		if err != nil {
			return nil, err
		}
		if img, err = mutate.Append(img, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "go -C deploy run ."},
		}); err != nil {
			return nil, err
		}
	}
	was, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config := was.DeepCopy()
	config.OS, config.Architecture, config.Created = t.os, t.arch, v1.Time{Time: r.time}
	config.Config = r.imageConfig()
	return mutate.ConfigFile(img, config)
}

func (r *release) imageConfig() v1.Config {
	return v1.Config{
		User:       fmt.Sprintf("%d:%d", imageUser, imageUser),
		Entrypoint: []string{"/usr/bin/laurel"},
		Cmd:        []string{"frontend"},
		Env: []string{
			"PATH=/usr/bin",
			"LAUREL_DATA=/var/lib/laurel",
			"LAUREL_RUN_DIR=/run/laurel",
			"LAUREL_HTTP=:8001",
		},
		WorkingDir:   "/var/lib/laurel",
		Volumes:      map[string]struct{}{"/var/lib/laurel": {}},
		ExposedPorts: map[string]struct{}{"8001/tcp": {}, "9001/tcp": {}},
		StopSignal:   "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "laurel",
			"org.opencontainers.image.description": "A live scoreboard store that loses no event and is never stale",
			"org.opencontainers.image.version":     r.version,
			"org.opencontainers.image.revision":    strings.TrimPrefix(strings.TrimPrefix(r.build, r.version), "+"),
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.created":     r.time.Format("2006-01-02T15:04:05Z"),
		},
	}
}

// imageBase returns the files of the first layer. The certificates are those that Mozilla
// trusts, as the module golang.org/x/crypto/x509roots/fallback has them; a few that are
// trusted under conditions only, which a file cannot express, are left out.
func (r *release) imageBase() ([]file, error) {
	var roots strings.Builder
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	files := []file{
		{path: "etc", mode: 0o755}, {path: "etc/ssl", mode: 0o755}, {path: "etc/ssl/certs", mode: 0o755},
		{path: "run", mode: 0o755}, {path: "run/laurel", mode: 0o700, owner: imageUser},
		{path: "tmp", mode: 0o777 | fs.ModeSticky},
		{path: "var", mode: 0o755}, {path: "var/lib", mode: 0o755},
		{path: "var/lib/laurel", mode: 0o700, owner: imageUser},
	}
	user := fmt.Sprintf("laurel:x:%d:", imageUser)
	for _, made := range []struct{ path, text string }{
		{"etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/sbin/nologin\n%s%d:Laurel:/var/lib/laurel:/sbin/nologin\n",
			user, imageUser)},
		{"etc/group", "root:x:0:\n" + user + "\n"},
		{"etc/ssl/certs/ca-certificates.crt", roots.String()},
	} {
		f, err := r.put(made.path, made.text)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// layer writes files to a tar at path, and returns the layer that it is.
func (r *release) layer(files []file, path string) (v1.Layer, error) {
	if err := create(path, func(w io.Writer) error { return writeTar(w, files, r.time) }); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(path, tarball.WithMediaType(types.OCILayer))
}

// writeImage writes laurel_VERSION_image.tar, an OCI image layout of one image for
// several targets, as skopeo, podman and docker load it.
func (r *release) writeImage(ctx context.Context, targets []target, out string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, t := range targets {
		img, err := r.image(ctx, t)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: t.os, Architecture: t.arch},
		}})
	}
	// The layout lists the image, under the name of its version, and the image lists the targets.
	list := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{
			"org.opencontainers.image.ref.name": r.version,
			"io.containerd.image.name":          "laurel:" + r.version,
		}},
	})
	dir := filepath.Join(r.work, "image")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if _, err := layout.Write(dir, list); err != nil {
		return err
	}
	files, err := filesBelow(dir)
	if err != nil {
		return err
	}
	return create(filepath.Join(out, "laurel_"+r.version+"_image.tar"), func(w io.Writer) error {
		return writeTar(w, files, r.time)
	})
}

// filesBelow returns the files and directories below dir, in order.
func filesBelow(dir string) (files []file, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		below, err := filepath.Rel(dir, path)
		f := file{path: filepath.ToSlash(below), from: path, mode: 0o644}
		if d.IsDir() {
			f.from, f.mode = "", 0o755
		}
		files = append(files, f)
		return err
	})
	return files, err
}
