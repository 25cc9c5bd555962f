package pki

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files of the directory in which a group's authority is before there is a group.
// AuthorityFile and FoundingFile are for the frontend that makes the group. The others hold
// what others need: JoinTokenFile the frontends that join, OperatorFile the operator, and
// CertificateFile the clients.
const (
	AuthorityFile   = "authority.pem"  // with the private key
	FoundingFile    = "founding.json"  // what the group begins with, no secret
	JoinTokenFile   = "join.token"     // secret
	OperatorFile    = "operator.token" // secret
	CertificateFile = "ca.pem"         // public
)

// Founding is what the first authority of a group comes with, so that the group can form
// without a person. It has no secret but the authority's key: of tokens it has the hashes.
type Founding struct {
	Authority *Authority    `json:"-"`
	Operator  HashedToken   `json:"operator"`   // the token of the first operator
	Join      HashedJoining `json:"join_token"` // with which the others join
}

// HashedToken names a token without its secret.
type HashedToken struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash"` // SHA-256
}

// HashedJoining is a join token without its secret, and how long and how often it is valid.
type HashedJoining struct {
	HashedToken
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"`
	Hosts   []string  `json:"hosts,omitempty"` // that certificates may have
}

// Write writes the files of a new authority into a directory that it makes, or that is
// empty. join and operator are the texts of the tokens.
func (f *Founding) Write(dir, join, operator string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		if err == nil {
			err = fmt.Errorf("%s is not empty: an authority is never replaced by another", dir)
		}
		return err
	}
	key, err := f.Authority.Encode()
	if err != nil {
		return err
	}
	terms, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{JoinTokenFile, []byte(join + "\n")},
		{OperatorFile, []byte(operator + "\n")},
		{CertificateFile, EncodeCertificates([][]byte{f.Authority.Certificate.Raw})},
		{FoundingFile, append(terms, '\n')},
		{AuthorityFile, key},
	} {
		if err := WritePrivateFile(filepath.Join(dir, file.name), file.content); err != nil {
			return err
		}
	}
	return nil
}

// ReadFounding reads what Write has written for the frontend that makes the group. It needs
// no other file of the directory.
func ReadFounding(dir string) (*Founding, error) {
	f := new(Founding)
	var err error
	if f.Authority, err = readAuthority(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FoundingFile)
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, f)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// readAuthority reads the authority, with its private key, of such a directory.
func readAuthority(dir string) (*Authority, error) {
	path := filepath.Join(dir, AuthorityFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; laurel authority new --out DIR makes it", err)
	}
	if err != nil {
		return nil, err
	}
	a, err := ParseAuthority(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}
