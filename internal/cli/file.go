package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ReadSecret returns a secret that is given as a text, or as @ and the name of a file with
// it; "" for no text. what names it in errors, which do not contain it.
func ReadSecret(text, what string) (string, error) {
	file, isFile := strings.CutPrefix(text, "@")
	if isFile {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" && isFile {
		return "", fmt.Errorf("%s is empty; want %s", file, what)
	}
	return text, nil
}

// ReplaceFile writes a file that everybody may read. Until it is complete, a file of that
// name, or to which a link of that name leads, stays as it was.
func ReplaceFile(path string, b []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not replaced: it is no regular file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
