package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDistIsBuiltFromTheSources(t *testing.T) {
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadDir("../dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range committed {
		if files[e.Name()] == nil {
			t.Errorf("dist/%s has no source; delete it", e.Name())
		}
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("../dist", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s differs from its sources; run go generate ./httpapi/web (%v)", name, err)
		}
	}
}

func TestSourcesFromNPMAreUnchanged(t *testing.T) {
	sums, err := os.ReadFile("../npm/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"README.md": true, "SHA256SUMS": true}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[name] = true
		b, err := os.ReadFile(filepath.Join("../npm", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
			t.Errorf("npm/%s differs from the published file", name)
		}
	}
	err = filepath.WalkDir("../npm", func(path string, d os.DirEntry, err error) error {
		if name, _ := filepath.Rel("../npm", path); err == nil && !d.IsDir() && !listed[filepath.ToSlash(name)] {
			t.Errorf("npm/%s is not listed in npm/SHA256SUMS", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
