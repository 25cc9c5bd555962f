package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files of an identity's directory. All are written atomically and readable by their
// owner only.
const (
	memberFile      = "member.pem"      // the private key, the certificate and its chain
	authoritiesFile = "authorities.pem" // trusted by the group, as last known
	authorityPrefix = "authority-"      // + fingerprint: an authority with its private key
)

// WritePrivateFile writes a file atomically and durably. Only the owner can read it.
func WritePrivateFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeMember(dir string, key *ecdsa.PrivateKey, issued *IssuedCertificate) error {
	b, err := encodeKey(key)
	if err != nil {
		return err
	}
	b = append(b, EncodeCertificates(issued.all())...)
	return WritePrivateFile(filepath.Join(dir, memberFile), b)
}

func readMember(dir string) (*tls.Certificate, []*x509.Certificate, error) {
	path := filepath.Join(dir, memberFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	key, list, err := parsePEM(text)
	if err == nil && (key == nil || len(list) < 2 || !key.PublicKey.Equal(list[0].PublicKey)) {
		err = errors.New("want a private key, its certificate and that of the issuer")
	}
	if err != nil {
		return nil, nil, fmt.Errorf(
			"%s is damaged (%w); delete it and join with a new token to get another certificate", path, err)
	}
	c := &tls.Certificate{PrivateKey: key, Leaf: list[0]}
	for _, cert := range list {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c, list[1:], nil
}

func readAuthorities(dir string) ([]*x509.Certificate, error) {
	path := filepath.Join(dir, authoritiesFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, list, err := parsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w); delete it, and it is made again", path, err)
	}
	return list, nil
}

func authorityPath(dir, fingerprint string) string {
	return filepath.Join(dir, authorityPrefix+short(fingerprint)+".pem")
}

func readKeys(dir string) (map[string]*Authority, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	keys := map[string]*Authority{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), authorityPrefix) || filepath.Ext(e.Name()) != ".pem" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		a, err := ParseAuthority(text)
		if err != nil {
			return nil, fmt.Errorf(
				"%s: %w; delete it to get it from another voter, or restore it from a backup if there is none",
				path, err)
		}
		keys[a.Fingerprint()] = a
	}
	return keys, nil
}
