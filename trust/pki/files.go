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

// Files of a directory. Each is written whole or not at all; those with a private key are for their owner alone.
const (
	memberFile      = "member.pem"      // the private key, the certificate, and what is shown with it
	authoritiesFile = "authorities.pem" // whom the group trusts, as was last heard
	authorityPrefix = "authority-"      // and the beginning of the fingerprint: an authority with its private key
)

// WriteFile writes a file for its owner alone, durably, and whole or not at all.
func WritePrivateFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // for its owner alone
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
	b = append(b, EncodeCertificates(append([][]byte{issued.Certificate}, issued.Chain...))...)
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
		err = errors.New("want a private key, its certificate and the issuer's")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s is damaged (%w); delete it and start with --join and --join-token to get a new certificate", path, err)
	}
	c := &tls.Certificate{PrivateKey: key, Leaf: list[0]}
	for _, one := range list {
		c.Certificate = append(c.Certificate, one.Raw)
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
		return nil, fmt.Errorf("%s is damaged (%w); delete it, it is made again", path, err)
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
			return nil, fmt.Errorf("%s: %w; delete it, it is fetched again from another voter, or, if there is none, bring it back from a backup", path, err)
		}
		keys[a.Fingerprint()] = a
	}
	return keys, nil
}
