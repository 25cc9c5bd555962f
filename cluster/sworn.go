package cluster

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
	"laurel/trust/keyfile"
	"laurel/trust/pki"
)

const (
	// witnessFile, in the data directory, has the key by which a frontend is known in the
	// roster of a sworn group. It is not the key of its certificate, and in no log.
	witnessFile = "witness.key"
	// swornFile, in the data directory, has what this member last knew of the operators and
	// the roster. A state machine that is rebuilt knows none of it at first, and by then a
	// certificate must not be enough.
	swornFile = "sworn.json"
)

// WitnessKey returns the key of the frontend with a data directory, which is made if the
// directory has none.
func WitnessKey(dir string) (ed25519.PrivateKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	return keyfile.Open(filepath.Join(dir, witnessFile))
}

// SwornGroup describes the sworn group that a member makes, or joins.
type SwornGroup struct {
	// Operator is the public key of the first operator, whose name is Name, of a group that
	// this member makes; nil for a group that is not sworn.
	Operator ed25519.PublicKey
	Name     string
	// Founder is the fingerprint of the first operator's key of the group to join, from a join
	// token; "" if the token has none.
	Founder string
}

// FounderError is the error of a member that was told of another first operator than its
// join token names: whoever did is not the group that the token is for.
type FounderError struct{ Want, Got string }

func (e *FounderError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("the group is not sworn, but the join token is for one whose first operator has the key %s", e.Want)
	}
	return fmt.Sprintf("the first operator of the group has the key %s; the join token is for a group of %s", e.Got, e.Want)
}

// swornKnowledge is what a member knows of its group's operators and roster.
type swornKnowledge struct {
	*replica
	founder string // that the group must have; "" for any
	stored  atomic.Pointer[access.State]
	seen    *access.State // by run
	warned  bool
}

// swornRecord is the content of swornFile.
type swornRecord struct {
	Founder string        `json:"founder,omitzero"` // that the join token names
	State   *access.State `json:"state,omitzero"`   // without grants
}

// openSworn reads what the member knew of its group.
func openSworn(r *replica) (*swornKnowledge, error) {
	k := &swornKnowledge{replica: r, founder: r.opts.Sworn.Founder}
	path := filepath.Join(r.opts.Dir, swornFile)
	text, err := os.ReadFile(path)
	var record swornRecord
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, k.store(nil)
	case err == nil:
		err = json.Unmarshal(text, &record)
	}
	if err == nil && record.State != nil && !record.State.Valid() {
		err = errors.New("it is no state of a group")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; delete it and start again: the group tells its content", path, err)
	}
	if record.Founder != "" {
		k.founder = record.Founder
	}
	k.stored.Store(record.State)
	return k, nil
}

// store writes what is known of a group to the disk. It writes nothing for a group that is
// not sworn as far as anybody has said.
func (k *swornKnowledge) store(s *access.State) error {
	if s == nil && k.founder == "" {
		return nil
	}
	record := swornRecord{Founder: k.founder}
	if s != nil {
		record.State = access.NewState()
		record.State.Settings = s.Settings
		record.State.Operators, record.State.Roster, record.State.Founder = s.Operators, s.Roster, s.Founder
	}
	text, err := json.Marshal(&record, json.Deterministic(true))
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(k.opts.Dir, swornFile), text)
	}
	if err == nil {
		k.stored.Store(record.State)
	}
	return err
}

// State returns the access control of a sworn group as far as this member has ever known
// it; nil if the group is not sworn, or nothing is known.
func (k *swornKnowledge) State() *access.State {
	now, stored := k.machine.Access(), k.stored.Load()
	if !now.Settings.Sworn || stored != nil && signedChanges(stored) > signedChanges(now) {
		return stored
	}
	return now
}

// signedChanges returns a number that grows with each signed change.
func signedChanges(s *access.State) (sum uint64) {
	for _, o := range s.Operators {
		sum += o.Number
	}
	return sum
}

// run keeps what the state machine learns, until ctx ends.
func (k *swornKnowledge) run(ctx context.Context) {
	tick := time.Tick(k.scaled(recheckEvery))
	for {
		if s := k.machine.Access(); s != k.seen {
			k.seen = s
			if err := k.check(s); err != nil {
				k.end(err)
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// check stores a new state of a sworn group. It returns an error if that is another group
// than the one that this member wants to be in.
func (k *swornKnowledge) check(s *access.State) error {
	stored := k.stored.Load()
	switch {
	case s.Settings.Incarnation == "": // it is being rebuilt, or founded
		return nil
	case k.founder != "" && s.Founder != k.founder:
		return &FounderError{k.founder, s.Founder}
	case stored != nil && s.Founder != stored.Founder:
		return &FounderError{stored.Founder, s.Founder}
	case !s.Settings.Sworn:
		return nil
	case stored == nil || signedChanges(s) > signedChanges(stored):
		if err := k.store(s); err != nil {
			k.log.Warn("could not store the roster of the group", "err", err)
		}
	}
	k.warnOfKey(s)
	return nil
}

// warnOfKey logs that the roster has another key than this member's.
func (k *swornKnowledge) warnOfKey(s *access.State) {
	own := k.witness.Public().(ed25519.PublicKey)
	if own.Equal(ed25519.PublicKey(s.KeyOf(k.opts.ID))) {
		k.warned = false
		return
	}
	if !k.warned {
		k.log.Warn("the roster does not have the key of this frontend, so the others refuse it; "+
			"an operator must sign the key in", "member", k.opts.ID, "key", base64.StdEncoding.EncodeToString(own))
	}
	k.warned = true
}
