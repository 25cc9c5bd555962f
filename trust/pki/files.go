package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// readMember reads the certificate of an identity and its holder.
func readMember(dir string) (pair tls.Certificate, issuer *x509.Certificate, h Holder, err error) {
	path := filepath.Join(dir, memberFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return pair, nil, h, err
	}
	if pair, issuer, err = parseMember(text); err == nil {
		h, err = HolderOf(pair.Leaf)
	}
	if err != nil {
		err = fmt.Errorf(
			"%s is damaged (%w); delete it and join with a new token to get another certificate", path, err)
	}
	return pair, issuer, h, err
}

// parseMember parses a member's private key, its certificate and the chain, which begins
// with the issuer's certificate. pair has the chain in the order in which it is sent.
func parseMember(text []byte) (pair tls.Certificate, issuer *x509.Certificate, err error) {
	if pair, err = tls.X509KeyPair(text, text); err != nil {
		return pair, nil, err
	}
	chain, err := parseCertificates(pair.Certificate[1:])
	switch {
	case err != nil:
		return pair, nil, err
	case len(chain) == 0:
		return pair, nil, errors.New("the certificate of the issuer is missing")
	}
	// The issuer's own certificate is sent last. OpenSSL takes the first certificate of the
	// issuer that was sent, and goes no other way if that one leads to a root that it does
	// not trust: the cross certificate must come first, for clients that do not know the new
	// authority yet.
	pair.Certificate = slices.Concat(pair.Certificate[:1], pair.Certificate[2:], pair.Certificate[1:2])
	return pair, chain[0], nil
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
	var ders []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		ders = append(ders, block.Bytes...)
	}
	list, err := x509.ParseCertificates(ders)
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
