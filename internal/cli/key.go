package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// AddKey adds the flag --key, with which the clients of t sign events.
func (t *Target) AddKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.keyFile, "key", "", "sign events with the private key in `FILE`; bard key new makes one")
}

// Key returns the private key of --key; nil without --key.
func (t *Target) Key() (ed25519.PrivateKey, error) {
	if t.keyFile == "" {
		return nil, nil
	}
	key, err := ReadPrivateKey(t.keyFile)
	if err != nil {
		return nil, Usagef("--key: %w", err)
	}
	return key, nil
}

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
	block, info, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: every user of this machine can read or change it (mode %04o); chmod 600 it, "+
			"and make a new key if somebody may have read it", file, info.Mode().Perm())
	}
	if block.Type != privateBlock {
		return nil, fmt.Errorf("%s: a %s; want an Ed25519 private key, as bard key new makes it", file, block.Type)
	}
	return parseKey[ed25519.PrivateKey](file, block, x509.ParsePKCS8PrivateKey)
}

func parseKey[K any](file string, block *pem.Block, parse func(der []byte) (any, error)) (key K, err error) {
	parsed, err := parse(block.Bytes)
	if err != nil {
		return key, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(K)
	if !ok {
		return key, fmt.Errorf("%s: a key of another type (%T); want Ed25519", file, parsed)
	}
	return key, nil
}

// maxKeyFile is more than the size of any key.
const maxKeyFile = 64 << 10

func readPEM(file string) (*pem.Block, fs.FileInfo, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, nil, fmt.Errorf("%s is not a file with a key", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, nil, fmt.Errorf("%s: not PEM; want a key, as bard key new makes it", file)
	}
	return block, info, nil
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
	block, _, err := readPEM(text)
	if err != nil {
		return nil, fmt.Errorf("%w; want an Ed25519 public key, 32 bytes in base64, or a file with a key", err)
	}
	switch block.Type {
	case privateBlock:
		key, err := ReadPrivateKey(text)
		if err != nil {
			return nil, err
		}
		return key.Public().(ed25519.PublicKey), nil
	case publicBlock:
		return parseKey[ed25519.PublicKey](text, block, x509.ParsePKIXPublicKey)
	}
	return nil, fmt.Errorf("%s: a %s; want an Ed25519 key", text, block.Type)
}
