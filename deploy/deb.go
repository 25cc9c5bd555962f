package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the format
	"github.com/goreleaser/nfpm/v2/files"
)

const maintainer = "Laurel maintainers <maintainers@laurel.example>"

// deb writes laurel_VERSION-1_ARCH.deb and returns its path.
func (r *release) deb(ctx context.Context, arch, out string) (string, error) {
	contents, err := r.debContents(ctx, target{"linux", arch})
	if err != nil {
		return "", err
	}
	script := func(name string) string { return filepath.Join(r.root, "deploy", "debian", name) }
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "laurel", Arch: arch, Platform: "linux", Version: r.version, VersionSchema: "none", Release: "1",
		Section: "database", Priority: "optional", Maintainer: maintainer, MTime: r.time,
		Description: `live scoreboard store
A group of servers keeps the events of sports contests with Raft and serves
scores, medal tables and leaderboards by HTTP, by a live page and by
server-sent events. Each server answers from its own memory and never shows
an old score.
.
The package has the server and command-line client laurel, the feed client
bard, and a systemd service that starts once it is configured.`,
		Overridables: nfpm.Overridables{
			Depends:  []string{"systemd | systemd-standalone-sysusers"},
			Contents: contents,
			Scripts: nfpm.Scripts{
				PostInstall: script("postinst"), PreRemove: script("prerm"), PostRemove: script("postrm"),
			},
			Deb: nfpm.Deb{Compression: "gzip"},
		},
	})
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return "", err
	}
	packager, err := nfpm.Get("deb")
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return "", err
	}
	to := filepath.Join(out, fmt.Sprintf("laurel_%s-1_%s.deb", r.version, arch))
	return to, os.WriteFile(to, b.Bytes(), 0o644)
}

// debContents returns the files of the Debian package.
func (r *release) debContents(ctx context.Context, t target) (files.Contents, error) {
	var contents files.Contents
	add := func(from, to string, mode fs.FileMode, kind string) {
		contents = append(contents, &files.Content{Source: from, Destination: "/" + to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time}})
	}
	for _, p := range programs {
		from, err := r.program(ctx, t, p)
		if err != nil {
			return nil, err
		}
		add(from, path.Join("usr/bin", p), 0o755, files.TypeFile)
	}
	in := func(name string) string { return filepath.Join(r.root, "deploy", filepath.FromSlash(name)) }
	add(in("systemd/laurel-frontend.service"), "lib/systemd/system/laurel-frontend.service", 0o644, files.TypeFile)
	add(in("systemd/laurel.sysusers"), "usr/lib/sysusers.d/laurel.conf", 0o644, files.TypeFile)
	add(in("debian/frontend.env"), "etc/laurel/frontend.env", 0o600, files.TypeConfigNoReplace)
	add(in("debian/copyright"), "usr/share/doc/laurel/copyright", 0o644, files.TypeFile)
	add(in("debian/lintian-overrides"), "usr/share/lintian/overrides/laurel", 0o644, files.TypeFile)
	documents, err := r.documents(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range documents {
		if strings.HasPrefix(f.path, "usr/share/man/") { // Debian has these compressed
			text, err := os.ReadFile(f.from)
			if err != nil {
				return nil, err
			}
			if f, err = r.putCompressed(f.path, text); err != nil {
				return nil, err
			}
		}
		add(f.from, f.path, f.mode, files.TypeFile)
	}
	changes, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	debian := fmt.Sprintf("laurel (%s-1) stable; urgency=medium\n\n  * What is new is in changelog.gz.\n\n -- %s  %s\n",
		r.version, maintainer, r.time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	for name, text := range map[string][]byte{"changelog": changes, "changelog.Debian": []byte(debian)} {
		f, err := r.putCompressed("usr/share/doc/laurel/"+name, text)
		if err != nil {
			return nil, err
		}
		add(f.from, f.path, f.mode, files.TypeFile)
	}
	return contents, nil
}

// putCompressed is put with gzip.
func (r *release) putCompressed(place string, text []byte) (file, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return file{}, err
	}
	if _, err := z.Write(text); err != nil {
		return file{}, err
	}
	if err := z.Close(); err != nil {
		return file{}, err
	}
	return r.put(place+".gz", b.String())
}
