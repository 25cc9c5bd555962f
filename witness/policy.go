package witness

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	maxFrontends  = 16
	maxPolicySize = 16 << 10 // bytes
	groupName     = "laurel" // of all frontends, in the text of a policy
)

// Policy says which frontends a reader believes: Quorum of Frontends must agree. Its text is
// a tlog-policy of C2SP, with comments for what that format has no line for.
type Policy struct {
	Store     string    // the lineage of the store
	Version   uint64    // each change of the policy has a higher one
	Until     time.Time // the policy is void afterwards; in seconds
	Quorum    int
	Frontends []Frontend

	verify func(by identity, message, signature []byte) bool // set by tests
}

// Frontend is one of those that sign: its name, and its public key.
type Frontend struct {
	Name   string
	Public ed25519.PublicKey
}

// Frontend returns the public part of the key.
func (k *Key) Frontend() Frontend { return Frontend{k.name, k.identity(ed25519Type).public} }

func (f Frontend) identity(kind byte) identity { return identity{f.Name, kind, f.Public} }

// Corrupt returns how many of n frontends may be corrupt without harm.
func Corrupt(n int) int { return (n - 1) / 3 }

// LeastQuorum returns the smallest safe quorum of n frontends: two quorums then share an
// honest one.
func LeastQuorum(n int) int { return (n+Corrupt(n))/2 + 1 }

// Origin returns the first line of the store's checkpoints.
func (p *Policy) Origin() string { return "laurel/" + p.Store }

// String returns the text of the policy without a signature.
func (p *Policy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# laurel policy 1\n# store %s\n# version %d\n# until %s\n",
		p.Store, p.Version, p.Until.UTC().Format(time.RFC3339))
	for _, f := range p.Frontends {
		fmt.Fprintf(&b, "log %v\n", identity{p.Origin(), ed25519Type, f.Public})
	}
	for _, f := range p.Frontends {
		fmt.Fprintf(&b, "witness %s %v\n", f.Name, f.identity(cosignatureType))
	}
	fmt.Fprintf(&b, "group %s %d", groupName, p.Quorum)
	for _, f := range p.Frontends {
		fmt.Fprintf(&b, " %s", f.Name)
	}
	fmt.Fprintf(&b, "\nquorum %s\n", groupName)
	return b.String()
}

// Sign returns the text of the policy with the operator's signature, which is a comment.
func (p *Policy) Sign(operator *Key) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	signed, err := operator.Sign(p.String())
	if err != nil {
		return nil, err
	}
	text, signature, _ := strings.Cut(string(signed), "\n\n")
	return []byte(text + "\n# " + signature), nil
}

// ParsePolicy returns the policy of a text that Sign has made with the key of the operator,
// given by its verifier key. It takes only that very form; the last newline may be missing.
func ParsePolicy(signed []byte, operator string) (*Policy, error) {
	text := strings.TrimSuffix(string(signed), "\n")
	last := strings.LastIndexByte(text, '\n') + 1
	signature, ok := strings.CutPrefix(text[last:], "# ")
	if !ok || len(signed) > maxPolicySize {
		return nil, fmt.Errorf("policy: no signature, or over %d bytes: %w", maxPolicySize, ErrMalformed)
	}
	text, err := Verify(operator, []byte(text[:last]+"\n"+signature+"\n"))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p, err := parsePolicy(text)
	if err != nil {
		return nil, err
	}
	return p, p.check()
}

// ReadPolicy returns the policy of a text that Sign has made, whoever has signed it: for a
// reader that got the text itself in a way that it trusts.
func ReadPolicy(signed []byte) (*Policy, error) {
	text := strings.TrimSuffix(string(signed), "\n")
	last := strings.LastIndexByte(text, '\n') + 1
	if len(signed) > maxPolicySize {
		return nil, fmt.Errorf("policy: over %d bytes: %w", maxPolicySize, ErrMalformed)
	}
	p, err := parsePolicy(text[:last])
	if err != nil {
		return nil, err
	}
	return p, p.check()
}

// parsePolicy takes only what String writes.
func parsePolicy(text string) (*Policy, error) {
	p := &Policy{}
	for line := range strings.Lines(text) {
		fields := append(strings.Fields(line), "", "", "")
		var err error
		switch fields[0] + fields[1] {
		case "#store":
			p.Store = fields[2]
		case "#version":
			p.Version, err = strconv.ParseUint(fields[2], 10, 64)
		case "#until":
			p.Until, err = time.Parse(time.RFC3339, fields[2])
		case "group" + groupName:
			p.Quorum, err = strconv.Atoi(fields[2])
		}
		if fields[0] == "witness" {
			var f Frontend
			f, err = parseFrontend(fields[1], fields[2])
			p.Frontends = append(p.Frontends, f)
		}
		if err != nil {
			return nil, fmt.Errorf("policy: %q: %w", line, ErrMalformed)
		}
	}
	if p.String() != text {
		return nil, fmt.Errorf("policy: it is not in the form of laurel policy: %w", ErrMalformed)
	}
	return p, nil
}

// parseFrontend returns the frontend of a verifier key, whose hash the caller compares.
func parseFrontend(name, verifierKey string) (Frontend, error) {
	_, rest, _ := strings.Cut(verifierKey, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 1+ed25519.PublicKeySize {
		return Frontend{}, ErrMalformed
	}
	return Frontend{name, key[1:]}, nil
}

// check returns why nobody should use the policy.
func (p *Policy) check() error {
	if !validName(p.Store) || p.Until.Year() > 9999 || len(p.Frontends) == 0 || len(p.Frontends) > maxFrontends {
		return fmt.Errorf("policy: store, date or number of frontends: %w", ErrMalformed)
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for _, f := range p.Frontends {
		names[f.Name], keys[string(f.Public)] = true, true
		if !validName(f.Name) || f.Name == groupName || len(f.Public) != ed25519.PublicKeySize {
			return fmt.Errorf("policy: frontend %q: %w", f.Name, ErrMalformed)
		}
	}
	if n := len(p.Frontends); len(names) != n || len(keys) != n {
		return fmt.Errorf("policy: a name or a key twice: %w", ErrMalformed)
	}
	if n := len(p.Frontends); p.Quorum < LeastQuorum(n) || p.Quorum > n {
		return fmt.Errorf("policy: a quorum of %d of %d frontends, not %d or more: %w",
			p.Quorum, n, LeastQuorum(n), ErrMalformed)
	}
	return nil
}

// verifiers returns the keys that sign notes of a kind, and if logs is set those of the log.
func (p *Policy) verifiers(kind byte, logs bool) note.Verifiers {
	var list []note.Verifier
	for _, f := range p.Frontends {
		list = append(list, f.identity(kind))
		if logs {
			list = append(list, identity{p.Origin(), ed25519Type, f.Public})
		}
	}
	return note.VerifierList(list...)
}
