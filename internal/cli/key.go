package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// privateBlock is the type of a PEM block with a private key.
const privateBlock = "PRIVATE KEY"

// NewPrivateKey makes a key and writes it to a new file that only the owner can read.
func NewPrivateKey(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s exists, and a lost key cannot be restored; name another file", file)
	}
	if err != nil {
		return nil, err
	}
	err = pem.Encode(f, &pem.Block{Type: privateBlock, Bytes: der})
	// Sync: a key that was granted a role must not be lost in a crash.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(file))
	}
	return key, nil
}

// ReadPrivateKey reads an Ed25519 private key, PKCS #8 in PEM.
func ReadPrivateKey(file string) (ed25519.PrivateKey, error) {
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

// FormatPublicKey returns a public key in base64, as it is passed on and granted a role.
func FormatPublicKey(public ed25519.PublicKey) string {
	return base64.StdEncoding.EncodeToString(public)
}

// ReadPublicKey reads a public key: its text, or a file with that or the private key.
func ReadPublicKey(text string) (ed25519.PublicKey, error) {
	content, _ := os.ReadFile(text) // without a file, text can still be the key
	for _, s := range []string{text, string(content)} {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
		if err == nil && len(key) == ed25519.PublicKeySize {
			return key, nil
		}
	}
	key, err := ReadPrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w; want an Ed25519 public key, 32 bytes in base64, or a file with a key", err)
	}
	return key.Public().(ed25519.PublicKey), nil
}
