package standing

import "laurel/witness"

// Unapplied is the fault of a master that said that events were applied, and they were not.
const Unapplied witness.Fault = "unapplied"

// claims are the revisions at which masters said that events were applied, by master: of each
// the first one at which this frontend's own state has something else.
type claims map[string]uint64

func (c claims) add(master string, revision uint64) {
	if was, found := c[master]; !found || revision < was {
		c[master] = revision
	}
}

// settle removes the claims up to a revision, and returns who made them.
func (c claims) settle(revision uint64) (masters []string) {
	for master, claimed := range c {
		if claimed <= revision {
			masters = append(masters, master)
			delete(c, master)
		}
	}
	return masters
}

// Contradicted notes that a master said that events were applied at a revision, at which the
// state of this frontend has something else. Either of them may have been misled.
func (e *Enforcer) Contradicted(master string, revision uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.claims == nil {
		e.claims = claims{}
	}
	e.claims.add(master, revision)
}

// unapplied returns the verdicts against masters that said that events were applied, and they
// were not: a quorum has the history of this frontend now, in which they are not.
//
// No honest master is found so, unless it was misled: then it goes back.
func (e *Enforcer) unapplied() (list []witness.Verdict) {
	if len(e.claims) == 0 {
		return nil
	}
	cosigned := e.Cosigned()
	round, head, known := e.Machine.Rounds().Round(cosigned.Size)
	if !known || head != cosigned {
		return nil
	}
	_, next := e.Machine.Rounds().Unsealed()
	for _, master := range e.claims.settle(round.Revision) {
		list = append(list, witness.Verdict{Frontend: master, Fault: Unapplied, Size: next})
	}
	return list
}
