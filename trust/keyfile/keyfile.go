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

// Write writes a key to a new file that only the owner can read.
func Write(file string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists, and a lost key cannot be restored; name another file", file)
	}
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: privateBlock, Bytes: der})
	// Sync: a key that was granted a role must not be lost in a crash.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// Read reads a private key.
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
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: every user of this machine can read or change it (mode %04o); chmod 600 it, "+
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

// Open reads a private key, or makes one if there is no such file.
func Open(file string) (ed25519.PrivateKey, error) {
	key, err := Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return New(file)
	}
	return key, err
}
