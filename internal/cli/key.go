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
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"

	// maxKeyFile is more than the size of any key.
	maxKeyFile = 64 << 10
)

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
	// Sync: a key that is granted a role and then lost in a crash would have to be
	// revoked.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(file))
	}
	return key, nil
}

// ReadPrivateKey reads an Ed25519 private key, PKCS #8 in PEM.
func ReadPrivateKey(file string) (ed25519.PrivateKey, error) {
	key, err := readKey(file)
	if err != nil {
		return nil, err
	}
	if private, ok := key.(ed25519.PrivateKey); ok {
		return private, nil
	}
	return nil, fmt.Errorf("%s: a key of another type (%T); want an Ed25519 private key, as bard key new makes it",
		file, key)
}

// readKey reads a private key (PKCS #8) or a public one (PKIX) in PEM.
func readKey(file string) (any, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s is not a file with a key", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var key any
	switch block, _ := pem.Decode(b); {
	case block == nil:
		return nil, fmt.Errorf("%s: not PEM; want a key, as bard key new makes it", file)
	case block.Type == publicBlock:
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type != privateBlock:
		return nil, fmt.Errorf("%s: a %s; want an Ed25519 key, as bard key new makes it", file, block.Type)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s: every user of this machine can read or change it (mode %04o); chmod 600 it, "+
			"and make a new key if somebody may have read it", file, info.Mode().Perm())
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// FormatPublicKey returns a public key in base64, as it is passed on and granted a role.
func FormatPublicKey(public ed25519.PublicKey) string {
	return base64.StdEncoding.EncodeToString(public)
}

// ReadPublicKey reads a public key: its text, or a file with it as PKIX in PEM, or a file
// with the private key.
func ReadPublicKey(text string) (ed25519.PublicKey, error) {
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) == ed25519.PublicKeySize {
		return b, nil
	}
	key, err := readKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w; want an Ed25519 public key, 32 bytes in base64, or a file with a key", err)
	}
	switch key := key.(type) {
	case ed25519.PublicKey:
		return key, nil
	case ed25519.PrivateKey:
		return key.Public().(ed25519.PublicKey), nil
	}
	return nil, fmt.Errorf("%s: a key of another type (%T); want Ed25519", text, key)
}
