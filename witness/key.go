package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// The signature types of signed notes that are used here.
const (
	ed25519Type     = 0x01
	cosignatureType = 0x04
)

const maxName = 64 // bytes of a frontend's or a store's name

// Key is the private key of a frontend or of an operator. A frontend uses the one key for
// reports (signature type 0x01) and for cosignatures (0x04): no text of one is a text of
// the other.
type Key struct {
	name    string
	private ed25519.PrivateKey
}

// NewKey returns a private key with a name.
func NewKey(name string, private ed25519.PrivateKey) (*Key, error) {
	if !validName(name) || len(private) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("key name %q: %w", name, ErrMalformed)
	}
	return &Key{name, private}, nil
}

// Name returns the name of the key.
func (k *Key) Name() string { return k.name }

// Verifier returns the public key as a verifier key of signed notes, type 0x01.
func (k *Key) Verifier() string { return k.identity(ed25519Type).String() }

// Cosigner returns the public key as a verifier key of cosignatures, type 0x04.
func (k *Key) Cosigner() string { return k.identity(cosignatureType).String() }

// Sign returns a signed note with the text, which ends with a line break.
func (k *Key) Sign(text string) ([]byte, error) {
	return note.Sign(&note.Note{Text: text}, signer{identity: k.identity(ed25519Type), key: k})
}

// Verify returns the text of a note that the key with the verifier key has signed.
func Verify(verifierKey string, signed []byte) (text string, err error) {
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		return "", fmt.Errorf("verifier key %q: %w", verifierKey, ErrMalformed)
	}
	opened, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return "", fmt.Errorf("%w %s: %v", ErrSignature, verifierKey, err)
	}
	return opened.Text, nil
}

func (k *Key) identity(kind byte) identity {
	return identity{k.name, kind, k.private.Public().(ed25519.PublicKey)}
}

// identity is a public key under a name, for one type of signature: a [note.Verifier].
type identity struct {
	name   string
	kind   byte
	public ed25519.PublicKey
}

func (i identity) Name() string { return i.name }

func (i identity) KeyHash() uint32 {
	sum := sha256.Sum256(append(append([]byte(i.name), '\n', i.kind), i.public...))
	return binary.BigEndian.Uint32(sum[:])
}

// String returns the verifier key.
func (i identity) String() string {
	key := append([]byte{i.kind}, i.public...)
	return fmt.Sprintf("%s+%08x+%s", i.name, i.KeyHash(), base64.StdEncoding.EncodeToString(key))
}

const cosignatureSize = 8 + ed25519.SignatureSize

func (i identity) Verify(message, signature []byte) bool {
	if i.kind != cosignatureType {
		return ed25519.Verify(i.public, message, signature)
	}
	if len(signature) != cosignatureSize || signature[0] >= 0x80 {
		return false
	}
	seconds := binary.BigEndian.Uint64(signature)
	return ed25519.Verify(i.public, cosignedMessage(seconds, message), signature[8:])
}

func cosignedMessage(seconds uint64, checkpoint []byte) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, checkpoint)
}

// signer is a [note.Signer]. seconds is the time of its cosignatures.
type signer struct {
	identity
	key     *Key
	seconds uint64
}

func (s signer) Sign(message []byte) ([]byte, error) {
	if s.kind != cosignatureType {
		return ed25519.Sign(s.key.private, message), nil
	}
	signature := binary.BigEndian.AppendUint64(nil, s.seconds)
	return append(signature, ed25519.Sign(s.key.private, cosignedMessage(s.seconds, message))...), nil
}

// validName reports whether s can be the name of a key, of a frontend or of a store.
func validName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '+' || r == '#'
	})
}
