package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/client/verify"
	"laurel/witness"
)

// Policy is what the flags of a command say about whom to believe.
type Policy struct {
	file string
	key  string // the operator's; "" to believe the file
}

// AddPolicy adds the flags --policy and --policy-key.
func AddPolicy(cmd *cobra.Command) *Policy {
	p := new(Policy)
	cmd.Flags().StringVar(&p.file, "policy", "",
		"`FILE` with the policy for readers, as laurel policy prints it; get it from the operator, not from a frontend")
	cmd.Flags().StringVar(&p.key, "policy-key", "",
		"verifier `KEY` of the operator who has signed the policy (default: the file is believed as it is)")
	return p
}

// Load reads the policy that the given flag or command needs.
func (p *Policy) Load(what string) (*witness.Policy, error) {
	policy, _, err := p.Read(what)
	return policy, err
}

// Read is Load, and returns the text of the policy as well.
func (p *Policy) Read(what string) (policy *witness.Policy, text []byte, err error) {
	if p.file == "" {
		return nil, nil, Usagef("%s needs --policy FILE or LAUREL_POLICY: whom to believe; see laurel policy", what)
	}
	text, err = os.ReadFile(p.file)
	if err != nil {
		return nil, nil, Usagef("--policy: %w", err)
	}
	if p.key == "" {
		policy, err = witness.ReadPolicy(text)
	} else {
		policy, err = witness.ParsePolicy(text, p.key)
	}
	if err != nil {
		return nil, nil, Usagef("--policy %s: %w", p.file, err)
	}
	return policy, text, nil
}

// Certified returns a reader of certified answers, for the given flag.
func (p *Policy) Certified(c *client.Client, flag string, patience time.Duration) (*verify.Certified, error) {
	policy, err := p.Load(flag)
	if err != nil {
		return nil, err
	}
	file, err := verify.SeenFile(policy)
	if err != nil {
		return nil, err
	}
	r := verify.NewCertified(c, policy, file)
	r.Timeout = patience
	return r, nil
}

// Explain adds to an error of a verified read what a user needs to know of it. The notes of a
// fork are kept in a file, as evidence.
func (p *Policy) Explain(err error) error {
	if errors.Is(err, witness.ErrExpired) {
		return &ExitError{ExitUnreachable, fmt.Errorf("nothing that can be verified: %w", err)}
	}
	if errors.Is(err, verify.ErrNotCertified) {
		return Usagef("%w; for any other answer use --verify=now, which asks all frontends", err)
	}
	fork, ok := errors.AsType[*witness.ForkError](err)
	if !ok {
		return err
	}
	notes := witness.JoinNotes(fork.Seen, fork.Other)
	where := "laurel verify --evidence tells whom these two notes convict:"
	if dir, e := os.UserCacheDir(); e == nil {
		file := filepath.Join(dir, "laurel", time.Now().UTC().Format("fork-20060102T150405Z.txt"))
		if e := os.WriteFile(file, notes, 0o600); e == nil {
			where = fmt.Sprintf("laurel verify --evidence %s tells whom these two notes convict:", file)
		}
	}
	return &ExitError{ExitFork, fmt.Errorf("%w: believe nobody, and show this to the operators; %s\n%s",
		err, where, strings.TrimSuffix(string(notes), "\n"))}
}
