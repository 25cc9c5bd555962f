// Package keyfile keeps Ed25519 private keys in files: PKCS #8 in PEM, for the owner only.
package keyfile

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// privateBlock is the type of a PEM block with a private key.
const privateBlock = "PRIVATE KEY"

// New makes a key and writes it to a new file that only the owner can read.
func New(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		err = Write(file, key)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// Write writes a key to a new file that only the owner can read. The file is there only when it
// is whole and on the disk: a key that was granted a role must not be lost in a crash.
func Write(file string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".new-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("make %s: %w", file, err)
	}
	defer os.Remove(f.Name())
	err = pem.Encode(f, &pem.Block{Type: privateBlock, Bytes: der})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), file) // unlike a rename, it replaces nothing
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and a lost key cannot be restored; name another file", file)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Read reads a private key. As with ssh, nobody else may have access to a file that this user
// owns.
func Read(file string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != privateBlock {
		return nil, fmt.Errorf("%s has no private key in PEM, as bard key new makes it", file)
	}
	others := fs.FileMode(0o077)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		others = 0o007 // the owner lets the group have it, as service managers do
	}
	if info.Mode().Perm()&others != 0 {
		return nil, fmt.Errorf("%s: other users of this machine can read or change it (mode %04o); chmod 600 it, "+
			"and make a new key if somebody may have read it", file, info.Mode().Perm())
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: a key of another type (%T); want Ed25519", file, key)
	}
	return private, nil
}
