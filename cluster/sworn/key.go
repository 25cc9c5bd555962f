package sworn

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"laurel/trust/keyfile"
	"laurel/trust/pki"
)

const (
	// witnessFile, in the data directory, has the key by which a frontend is known in the
	// roster of a sworn group. It is not the key of its certificate, and in no log.
	witnessFile = "witness.key"
	// stateFile, in the data directory, names that key, and has what it has signed, as far
	// as that binds the frontend.
	stateFile = "witness.state"

	statePrefix = "laurel witness state of "
)

// WitnessKey returns the key of the frontend with a data directory, which is made if the
// directory has none.
func WitnessKey(dir string) (ed25519.PrivateKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	path := filepath.Join(dir, witnessFile)
	key, err := keyfile.Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	// A command may make it while the frontend starts.
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if key, err = keyfile.Read(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	// The state first: a key without one may have signed anything.
	if err := StateOf(dir, key).Save(nil); err != nil {
		return nil, err
	}
	return key, keyfile.Write(path, key)
}

// KeyState is the file with what the key of a frontend has signed.
type KeyState struct {
	path   string
	prefix string // names the key
}

// StateOf returns the state of the key of the frontend with a data directory.
func StateOf(dir string, key ed25519.PrivateKey) *KeyState {
	public := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	return &KeyState{filepath.Join(dir, stateFile), statePrefix + public + "\n"}
}

// Load returns what was saved last; nil if the key has never signed anything. With an error
// nobody knows what the key has signed, and it must not be used any more.
func (s *KeyState) Load() ([]byte, error) {
	text, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	state, ok := strings.CutPrefix(string(text), s.prefix)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is lost, or that of another key: this frontend could sign the contrary of what "+
			"its key has signed; stop it, delete %s, and let an operator sign in the new key that it makes",
			s.path, witnessFile)
	case state == "":
		return nil, nil
	}
	return []byte(state), nil
}

// Save writes the state atomically and durably.
func (s *KeyState) Save(state []byte) error {
	return pki.WritePrivateFile(s.path, append([]byte(s.prefix), state...))
}
