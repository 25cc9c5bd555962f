package debugzip

import (
	"archive/zip"
	"fmt"
	"io"
	"time"
)

const (
	// maxFile bounds one file of the archive, and maxTotal all of them, in bytes.
	maxFile  = 8 << 20
	maxTotal = 64 << 20
)

// archive is the file that is written.
type archive struct {
	zip   *zip.Writer
	scrub func(string) string
	now   time.Time
	bytes int
	cut   []string // what was cut or left out, because it was too large
	files int
}

func newArchive(w io.Writer, scrub func(string) string) *archive {
	return &archive{zip: zip.NewWriter(w), scrub: scrub, now: time.Now()}
}

// text adds a file without secrets.
func (a *archive) text(name string, content []byte) error {
	return a.add(name, []byte(a.scrub(string(content[:min(len(content), maxFile)]))), len(content) > maxFile)
}

// profile adds a file as it is. A profile of pprof has names of functions, and numbers.
func (a *archive) profile(name string, content []byte) error {
	if len(content) > maxFile { // a part of it would be of no use
		a.cut = append(a.cut, name)
		return nil
	}
	return a.add(name, content, false)
}

func (a *archive) add(name string, content []byte, cut bool) error {
	if a.bytes+len(content) > maxTotal {
		content, cut = content[:max(0, maxTotal-a.bytes)], true
	}
	if cut {
		a.cut = append(a.cut, name)
	}
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.now})
	if err == nil {
		_, err = w.Write(content)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	a.bytes += len(content)
	a.files++
	return nil
}
