package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"laurel/witness"
)

// errSeen is the kind of error of a file that does not keep what was seen.
var errSeen = errors.New("cannot remember the newest certificate")

// SeenFile returns the file in the user's cache directory that remembers the newest
// certificate of a store, for NewCertified.
func SeenFile(p *witness.Policy) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSeen, err)
	}
	return filepath.Join(dir, "laurel", p.Store+".seen"), nil
}

// lastSeen is the newest certificate that readers have accepted: of this program, and if there is
// a file of all that use it.
type lastSeen struct {
	file   string // "" for none
	policy *witness.Policy

	turn   chan struct{} // full while update runs
	newest witness.Certificate
}

func newSeen(file string, p *witness.Policy) *lastSeen {
	return &lastSeen{file: file, policy: p, turn: make(chan struct{}, 1)}
}

// update calls f with the newest certificate. What f changes it to is remembered, unless f
// fails. No other reader changes it meanwhile; if that does not end, update fails when
// ctx ends, with an error that is not of the kind errSeen.
func (s *lastSeen) update(ctx context.Context, f func(newest *witness.Certificate) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("another read of this program keeps the newest certificate: %w", context.Cause(ctx))
	}
	if s.file == "" {
		next := s.newest
		err := f(&next)
		if err == nil {
			s.newest = next
		}
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.file), 0o700); err != nil {
		return fmt.Errorf("%w: %w", errSeen, err)
	}
	unlock, err := lockFile(ctx, s.file+".lock")
	switch {
	case err != nil && ctx.Err() != nil: // it can be tried again
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errSeen, err)
	}
	defer unlock()
	before, err := s.read()
	if err != nil {
		return err
	}
	next := before
	if err := f(&next); err != nil || next.Size <= before.Size {
		return err
	}
	return s.write(next.Note)
}

// read returns the certificate of the file. One that no frontend of the policy has signed
// is of a time before all of them.
func (s *lastSeen) read() (witness.Certificate, error) {
	note, err := os.ReadFile(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(note) == 0: // after a power failure
		return witness.Certificate{}, nil
	case err != nil:
		return witness.Certificate{}, fmt.Errorf("%w: %w", errSeen, err)
	}
	head, _, err := witness.Signers(s.policy, note)
	switch {
	case errors.Is(err, witness.ErrSignature):
		return witness.Certificate{}, nil
	case err != nil:
		return witness.Certificate{}, fmt.Errorf("%w: %s is damaged (%w); if you know why, remove it",
			errSeen, s.file, err)
	}
	return witness.Certificate{Head: head, Note: note}, nil
}

// write replaces the file at once: a reader of it sees all of the old note or of the new one.
func (s *lastSeen) write(note []byte) error {
	f, err := os.CreateTemp(filepath.Dir(s.file), "."+filepath.Base(s.file)+"-*")
	if err != nil {
		return fmt.Errorf("%w: %w", errSeen, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(note)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: %w", errSeen, err)
	}
	if err := os.Rename(f.Name(), s.file); err != nil {
		return fmt.Errorf("%w: %w", errSeen, err)
	}
	return nil
}
