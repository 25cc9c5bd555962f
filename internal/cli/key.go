package cli

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"laurel/trust/keyfile"
)

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
	key, err := keyfile.Read(text)
	if err != nil {
		return nil, fmt.Errorf("%w; want an Ed25519 public key, 32 bytes in base64, or a file with a key", err)
	}
	return key.Public().(ed25519.PublicKey), nil
}
