// Package restore makes the data directory of a frontend that founds a group with a store that
// there was before, from a snapshot file.
//
// Everything is made here, so that the frontend then starts as if it had been the only one of
// its group for ever: its name, its certificate and that of the authority, and a snapshot of
// Raft with the state in a new incarnation. A mark in the directory keeps the frontend from
// starting before all of it is there.
package restore

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/internal/durable"
	"laurel/cluster/raftlog"
	"laurel/cluster/sworn"
	"laurel/fsm/archive"
	"laurel/fsm/incarnation"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// By is the name under which the audit trail has a restore.
const By = "laurel snapshot restore"

// firstTerm is the Raft term in which the group begins.
const firstTerm = 1

// Options are what is made of a snapshot.
type Options struct {
	File string // the snapshot file
	Dir  string // the data directory: empty, or missing
	ID   string // of the frontend
	Peer string // its peer address
	// Founding is the authority of the group, and what comes with it; nil for a new one. A
	// group without certificates has none.
	Founding *pki.Founding
	Now      time.Time
}

// Outcome is what was made.
type Outcome struct {
	archive.Info               // of the file
	Server         raft.Server // the only member of the group
	NewIncarnation string
	NewRevision    uint64 // that with which the new incarnation begins
	Authority      string // fingerprint; "" for a group without certificates
	OperatorFile   string // with the token of a new operator; "" for none
}

// restoring is one run.
type restoring struct {
	Options
	Outcome
	group access.NewGroup
}

// Run restores a snapshot. With an error nothing is left in the directory.
func Run(o Options) (Outcome, error) {
	r := &restoring{Options: o, group: access.NewGroup{Founder: o.ID}}
	var err error
	if r.Info, err = inspect(o.File); err != nil {
		return r.Outcome, fmt.Errorf("%s: %w", o.File, err)
	}
	if o.Founding != nil && !r.Secure {
		return r.Outcome, errors.New("the snapshot is of a group without certificates, which has no authority")
	}
	made, err := begin(o.Dir)
	if err != nil {
		return r.Outcome, err
	}
	if err := r.make(); err != nil {
		return r.Outcome, errors.Join(err, clean(o.Dir, made))
	}
	return r.Outcome, raftlog.EndRestore(o.Dir)
}

func inspect(file string) (archive.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return archive.Info{}, err
	}
	defer f.Close()
	return archive.Inspect(f)
}

// lostAndFound is in the root directory of many file systems, and belongs to the system.
const lostAndFound = "lost+found"

// begin marks the directory, which must be empty. made is true if it did not exist.
func begin(dir string) (made bool, err error) {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		made = true
	}
	if err := durable.MakeDir(dir); err != nil {
		return made, fmt.Errorf("make the data directory: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return made, err
	}
	for _, e := range list {
		if e.Name() != lostAndFound {
			return made, fmt.Errorf("%s is not empty: it has %s; a snapshot is restored into an empty directory only, "+
				"so that nothing is overwritten", dir, e.Name())
		}
	}
	return made, raftlog.BeginRestore(dir)
}

// clean removes what a restore that failed has made.
func clean(dir string, made bool) error {
	if made {
		return os.RemoveAll(dir)
	}
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if e.Name() != lostAndFound {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// make makes everything in the directory.
func (r *restoring) make() error {
	id, err := raftlog.LoadServerID(r.Dir, r.ID)
	if err != nil {
		return err
	}
	r.Server = raft.Server{Suffrage: raft.Voter, ID: id, Address: raft.ServerAddress(r.Peer)}
	r.NewIncarnation = strings.ToLower(rand.Text()[:10])
	if r.Secure {
		if err := r.makeTrust(); err != nil {
			return err
		}
	}
	log := slog.New(slog.DiscardHandler)
	store, err := raftlog.Open(raftlog.Options{
		Dir: r.Dir, ID: r.ID, Bootstrap: true, Unfinished: true, Logger: log, Fatal: func(error) {},
	})
	if err != nil {
		return err
	}
	err = store.BeginTerm(firstTerm)
	if err == nil {
		err = store.BeginWith(r.Server, r.Index, firstTerm, r.write)
	}
	if err == nil {
		err = store.MarkJoined(r.Index)
	}
	if err == nil {
		err = r.open(store)
	}
	store.Release()
	return errors.Join(err, store.Close())
}

// makeTrust makes the keys and certificates of a secure group, and the token of an operator.
func (r *restoring) makeTrust() error {
	who := pki.Options{Dir: pki.DirIn(r.Dir), Member: string(r.Server.ID), Hosts: pki.LoopbackHosts}
	var identity *pki.Identity
	var err error
	if r.Founding != nil {
		identity, err = pki.Found(who, r.Founding.Authority)
	} else {
		identity, err = pki.Bootstrap(who)
	}
	if err != nil {
		return err
	}
	r.Authority = identity.IssuedBy()
	r.group.Authority = identity.Authority(r.Authority).Certificate.Raw
	if r.Sworn {
		key, err := sworn.WitnessKey(r.Dir)
		if err == nil {
			r.group.Witness = key.Public().(ed25519.PublicKey)
		}
		return err // an operator signs everything else
	}
	if f := r.Founding; f != nil {
		r.group.Operator = &access.Recovery{ID: f.Operator.ID, Hash: f.Operator.Hash}
		if r.Now.Before(f.Join.Expires) {
			r.group.Join = &access.JoinToken{
				ID: f.Join.ID, Hash: f.Join.Hash, Expires: f.Join.Expires, Uses: f.Join.Uses,
				Terms: access.Terms{Hosts: f.Join.Hosts},
			}
		}
		return nil
	}
	token := access.NewBearerToken()
	r.group.Operator = &access.Recovery{ID: token.ID, Hash: token.Hash()}
	r.OperatorFile = filepath.Join(r.Dir, pki.OperatorFile)
	return pki.WritePrivateFile(r.OperatorFile, []byte(token.Text()+"\n"))
}

// write writes the state of the snapshot file in the new incarnation.
func (r *restoring) write(w io.Writer) error {
	f, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := archive.NewReader(f)
	if err != nil {
		return err
	}
	c := &incarnation.Change{By: By}
	c.Name, c.At = r.NewIncarnation, r.Now
	c.Group = &r.group
	c.What = fmt.Sprintf("restored a snapshot of revision %d, taken %s, and made a new group of %s with it; "+
		"the incarnation was %s", r.Revision, r.Time.Format(time.RFC3339), r.ID, r.Incarnation)
	if r.Authority != "" {
		c.What += "; the authority is " + r.Authority
	}
	if r.group.Operator != nil {
		c.What += fmt.Sprintf("; the token %s is an operator's", r.group.Operator.ID)
	}
	after, err := incarnation.Rewrite(w, in, c)
	if err != nil {
		return err
	}
	if digest := in.Digest(); fmt.Sprintf("%x", digest) != r.Digest {
		return errors.New("the file has changed while it was read")
	}
	r.NewRevision = after.Revision
	return nil
}

// open opens what was made as a start of the frontend would.
func (r *restoring) open(s *raftlog.Store) error {
	m, err := s.OpenMachine()
	if err != nil {
		return fmt.Errorf("open what was restored: %w", err)
	}
	if m.Revision() != r.NewRevision || m.Incarnation() != r.NewIncarnation || m.Applied() != r.Index {
		err = fmt.Errorf("what was restored has the revision %d in the incarnation %q; want %d in %q",
			m.Revision(), m.Incarnation(), r.NewRevision, r.NewIncarnation)
	}
	return errors.Join(err, m.Close())
}
