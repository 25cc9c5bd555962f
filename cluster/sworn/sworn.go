// Package sworn has what a frontend keeps of its sworn group: the key by which the others
// know it, and the operators and the roster as last known.
package sworn

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
	"laurel/trust/pki"
)

// File, in the data directory, has what this member last knew of the operators and the
// roster. A state machine that is rebuilt knows none of it at first, and by then a
// certificate must not be enough.
const File = "sworn.json"

// Group describes the sworn group that a member makes, or joins.
type Group struct {
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
		return fmt.Sprintf("the group is not sworn, but the join token is for one whose first operator has the key %s",
			e.Want)
	}
	return fmt.Sprintf("the first operator of the group has the key %s; the join token is for a group of %s",
		e.Got, e.Want)
}

// Config configures a Knowledge.
type Config struct {
	Dir     string // the data directory
	ID      string // of the frontend
	Founder string // the fingerprint that the first operator's key must have; "" for any
	Witness ed25519.PrivateKey
	Access  func() *access.State // the applied access control
	// Revision returns the number of applied events. Each was applied in a state of Access
	// that is at most as new as the one that Access returns afterwards.
	Revision func() uint64
	Every    time.Duration // how often to look at it
	End      func(error)   // ends the member
	Logger   *slog.Logger
}

// Knowledge is what a member knows of its group's operators and roster. Its methods may be
// called by any goroutine.
type Knowledge struct {
	Config
	stored atomic.Pointer[access.State]
	seen   *access.State // by Run
	warned bool
}

// record is the content of File.
type record struct {
	Founder string        `json:"founder,omitzero"` // that the join token names
	State   *access.State `json:"state,omitzero"`   // without grants
}

// Open reads what the member knew of its group.
func Open(c Config) (*Knowledge, error) {
	k := &Knowledge{Config: c}
	path := filepath.Join(c.Dir, File)
	text, err := os.ReadFile(path)
	var known record
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, k.store(nil)
	case err == nil:
		err = json.Unmarshal(text, &known)
	}
	if err == nil && known.State != nil && !known.State.Valid() {
		err = errors.New("it is no state of a group")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; delete it and start again: the group tells its content", path, err)
	}
	if known.Founder != "" {
		k.Founder = known.Founder
	}
	k.stored.Store(known.State)
	return k, nil
}

// store writes what is known of a group to the disk. It writes nothing for a group that is
// not sworn as far as anybody has said.
func (k *Knowledge) store(s *access.State) error {
	if s == nil && k.Founder == "" {
		return nil
	}
	known := record{Founder: k.Founder}
	if s != nil {
		known.State = access.NewState()
		known.State.Settings = s.Settings
		known.State.Operators, known.State.Roster, known.State.Founder = s.Operators, s.Roster, s.Founder
	}
	text, err := json.Marshal(&known, json.Deterministic(true))
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(k.Dir, File), text)
	}
	if err == nil {
		k.stored.Store(known.State)
	}
	return err
}

// State returns the access control of a sworn group as far as this member has ever known
// it; nil if the group is not sworn, or nothing is known.
func (k *Knowledge) State() *access.State {
	now, stored := k.Access(), k.stored.Load()
	if !now.Settings.Sworn || stored != nil && stored.NewerThan(now) {
		return stored
	}
	return now
}

// Signed reports whether an operator has signed in a frontend, as far as this member has
// ever known. A state machine that is rebuilt applies old entries: they may have a frontend
// that has been dropped since. In a group that is not sworn, or not yet, everybody is in.
func (k *Knowledge) Signed(name string) bool {
	now, known := k.Access(), k.State()
	return !now.Settings.Sworn || now.KeyOf(name) != nil || known != nil && known.KeyOf(name) != nil
}

// CheckSnapshot returns an error if a state that a master has sent cannot be a later one of
// the group that this member knows. A member that has just joined ends.
func (k *Knowledge) CheckSnapshot(s *access.State) error {
	known := k.State()
	switch {
	case known != nil && s.Founder != known.Founder:
		return &FounderError{known.Founder, s.Founder}
	case known == nil && k.Founder != "" && s.Founder != k.Founder:
		err := &FounderError{k.Founder, s.Founder}
		k.End(err)
		return err
	}
	return s.CheckLater(k.Access())
}

// Run keeps what the state machine learns, until ctx ends.
func (k *Knowledge) Run(ctx context.Context) {
	tick := time.Tick(k.Every)
	for {
		events := k.Revision() > 0 // asked first: what is applied meanwhile does not count
		if s := k.Access(); s != k.seen || !s.Settings.Sworn {
			k.seen = s
			if err := k.check(s, events); err != nil {
				k.End(err)
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
// than the one that this member wants to be in. The first entry of a sworn group says so:
// nothing of one that is not can be part of it. events is set if any were applied.
func (k *Knowledge) check(s *access.State, events bool) error {
	stored := k.stored.Load()
	switch {
	case s.Fresh() && !events: // it is being rebuilt, or made
		return nil
	case k.Founder != "" && s.Founder != k.Founder:
		return &FounderError{k.Founder, s.Founder}
	case stored != nil && s.Founder != stored.Founder:
		return &FounderError{stored.Founder, s.Founder}
	case !s.Settings.Sworn, s.Settings.Incarnation == "": // or not founded yet
		return nil
	case stored == nil || s.NewerThan(stored):
		if err := k.store(s); err != nil {
			k.Logger.Warn("could not store the roster of the group", "err", err)
		}
	}
	k.warnOfKey(s)
	return nil
}

// warnOfKey logs that the roster has another key than this member's.
func (k *Knowledge) warnOfKey(s *access.State) {
	own := k.Witness.Public().(ed25519.PublicKey)
	if own.Equal(ed25519.PublicKey(s.KeyOf(k.ID))) {
		k.warned = false
		return
	}
	if !k.warned {
		k.Logger.Warn("the roster does not have the key of this frontend, so the others refuse it; "+
			"an operator must sign the key in", "member", k.ID, "key", base64.StdEncoding.EncodeToString(own))
	}
	k.warned = true
}
