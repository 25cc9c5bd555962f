package cluster

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/cluster/upgrade"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// accessControl changes the access control and the settings in the store.
type accessControl struct {
	*replica
	proposer *proposer
	raiser   *upgrade.Raiser
	changing sync.Locker // of the members
}

// Access returns the access control and the settings, as far as this member has applied
// the log. The value does not change; call Access again for later changes.
func (a *accessControl) Access() *access.State { return a.machine.Access() }

// ChangeAccess makes a change of the access control or of a setting, and returns when it
// is committed and applied here. From its place in the log on, every frontend refuses what
// it forbids: a post that the master accepts after ChangeAccess has returned comes after
// it. What followers decide without the log changes when they have applied it, normally
// within 50 ms. A change of the cache mode returns when the old mode has ended: in pull
// mode no frontend has a lease.
//
// Only the master can. The error is a *score.Problem: no_master at other members, the
// refusal of the state machine, or outcome_unknown; then look at the audit trail.
func (a *accessControl) ChangeAccess(ctx context.Context, change access.Change) error {
	if change.At.IsZero() {
		change.At = time.Now().UTC()
	}
	encoded, err := entry.EncodeChange(change)
	if err != nil {
		return score.Problemf(score.InvalidEvent, "%v", err)
	}
	return a.propose(ctx, &change, encoded)
}

// ChangeSigned is ChangeAccess for a change that an operator of a sworn group has signed.
// Repeating the last one of an operator is harmless.
func (a *accessControl) ChangeSigned(ctx context.Context, c *access.SignedChange) error {
	if sworn := c.Change.Sworn; sworn != nil && sworn.Found != nil {
		return score.Problemf(score.InvalidEvent, "only the frontend that makes a group founds it").At("change.sworn")
	}
	encoded, err := entry.EncodeSigned(c)
	if err != nil {
		return score.Problemf(score.InvalidEvent, "%v", err)
	}
	return a.propose(ctx, &c.Change, encoded)
}

// propose makes an encoded change, and waits until it holds.
func (a *accessControl) propose(ctx context.Context, change *access.Change, encoded []byte) error {
	lead := a.leadership()
	if lead == nil {
		return peer.NotMaster()
	}
	if p := checkAccessChange(change); p != nil {
		return p
	}
	if s := change.Setting; s != nil {
		if s.Name == access.SettingFormat { // meanwhile nobody joins who cannot read it
			a.changing.Lock()
			defer a.changing.Unlock()
		}
		if p := a.checkFormat(s); p != nil {
			return p
		}
	}
	if need, has := change.MembersFormat(), a.machine.Access().Settings.Format(); need > has {
		return score.Problemf(score.UnsupportedFormat,
			"the change needs format %d of the group, and the group has format %d",
			need, has)
	}
	if err := a.commit(ctx, change, encoded); err != nil {
		return err
	}
	if change.Setting != nil && change.Setting.Name == access.SettingCacheMode {
		return lead.switchMode(ctx)
	}
	return nil
}

// checkFormat returns a problem if the format of the group does not have a setting, or if a
// change of the format would leave a member behind.
func (a *accessControl) checkFormat(s *access.Setting) *score.Problem {
	if s.Name == access.SettingFormat {
		format, err := strconv.ParseUint(s.Value, 10, 64)
		if err != nil || format <= a.machine.Access().Settings.Format() {
			return nil // the state machine refuses it
		}
		return a.raiser.Check(format)
	}
	needs, has := access.SettingFormatOf(s.Name), a.machine.Access().Settings.Format()
	if needs <= has {
		return nil
	}
	return score.Problemf(score.UnsupportedFormat,
		"the setting %s needs format %d of the group, and the group has format %d",
		s.Name, needs, has).At("setting.name")
}

// switchMode returns when the cache mode of the store holds.
func (l *leadership) switchMode(ctx context.Context) error {
	mode := l.of.machine.CacheMode()
	l.push.Update(func(master *cache.Master, now time.Duration) {
		master.SetGranting(mode == score.Push, now)
	})
	if mode == score.Pull && !l.push.Await(ctx, (*cache.Master).NoLeases) {
		return score.Problemf(score.OutcomeUnknown,
			"the mode is set, but not all leases have ended yet; check the status of the frontends")
	}
	return nil
}

// checkAccessChange checks what the state machine must not, because other versions of it
// might decide otherwise.
func checkAccessChange(c *access.Change) *score.Problem {
	// The log, which the disks of all members have, and errors quote what a change says.
	if text, err := json.Marshal(c); err != nil || access.HasToken(string(text)) {
		return score.Problemf(score.InvalidEvent, "the change has the text of a token, which is secret, "+
			"in the place of a name, an id or a value; name a token by its id")
	}
	if c.Grant != nil {
		for _, t := range c.Grant.Types {
			if !slices.Contains(score.Types, t) {
				return score.Problemf(score.InvalidEvent, "unknown event type %q", t).At("grant.types")
			}
		}
	}
	if len(c.AddAuthority) > 0 {
		if cert, err := x509.ParseCertificate(c.AddAuthority); err != nil || !cert.IsCA {
			return score.Problemf(score.InvalidEvent, "not a certificate of an authority (%v)", err).At("add_authority")
		}
	}
	return nil
}

func (a *accessControl) commit(ctx context.Context, change *access.Change, encoded []byte) error {
	response, err := a.proposer.propose(ctx, encoded, change)
	if err != nil {
		return changeProblem("access", err)
	}
	outcome, ok := response.(fsm.Outcome)
	if !ok || len(outcome) != 1 || len(outcome[0]) != 1 {
		return score.Problemf(score.OutcomeUnknown,
			"the change is committed, but this frontend could not apply it; check the audit trail")
	}
	if p := outcome[0][0].Problem; p != nil {
		return p
	}
	if s := change.Setting; s != nil {
		a.log.Info("changed a setting of the group", "setting", s.Name, "value", s.Value, "by", change.By)
	}
	return nil
}

// founded reports whether the store has what it needs before it accepts its first event.
func (a *accessControl) founded() bool {
	state := a.machine.Access()
	return state.Settings.Incarnation != "" && (state.Guarded || !a.opts.Guarded)
}

// foundingEntry returns the next entry that a store needs which is not founded. The one that
// makes the store sworn comes first: only the first entry can.
func (a *accessControl) foundingEntry() (*access.Change, []byte, error) {
	next := a.founding()
	if a.opts.Sworn.Operator == nil || !a.machine.Access().Fresh() {
		encoded, err := entry.EncodeChange(next)
		return &next, encoded, err
	}
	found := &access.SignedChange{Change: access.Change{At: next.At, By: next.By, Sworn: &access.SwornChange{
		Found: &access.Founding{
			Operator: a.opts.Sworn.Operator, Name: a.opts.Sworn.Name,
			Frontend: access.RosterEntry{Name: a.opts.ID, Key: a.witness.Public().(ed25519.PublicKey)},
		},
	}}}
	encoded, err := entry.EncodeSigned(found)
	return &found.Change, encoded, err
}

// founding returns the next change that a store needs which is not founded. The format comes
// first, so that the others are written in it. The incarnation comes last: a store that has one
// has the settings that its group began with.
func (a *accessControl) founding() access.Change {
	state := a.machine.Access()
	c := access.Change{At: time.Now().UTC(), By: a.opts.ID}
	operator, token := a.opts.Founding.Operator, a.opts.Founding.Join
	switch {
	case state.Settings.Format() < a.opts.maxFormat():
		c.Setting = &access.Setting{Name: access.SettingFormat, Value: strconv.FormatUint(a.opts.maxFormat(), 10)}
	case a.opts.Guarded && !state.Guarded:
		c.Guard = true
	case a.opts.Private && !state.Settings.Private:
		c.Setting = &access.Setting{Name: access.SettingPrivate, Value: "true"}
	case operator != nil && state.Grants[operator.ID] == nil:
		c.Grant = operator
	case token != nil && state.JoinTokens[token.ID] == nil && c.At.Before(token.Expires):
		c.JoinToken = token
	case state.Settings.Lineage == "":
		lineage := cmp.Or(a.opts.Lineage, strings.ToLower(rand.Text()))
		c.Setting = &access.Setting{Name: access.SettingLineage, Value: lineage}
	default:
		// Every event to a watcher names it, so it is short.
		c.Setting = &access.Setting{Name: access.SettingIncarnation, Value: strings.ToLower(rand.Text()[:10])}
	}
	return c
}

// found makes the changes that the store needs, before a leadership accepts its first
// event. It retries until ctx ends.
func (a *accessControl) found(ctx context.Context) {
	for !a.founded() && ctx.Err() == nil {
		next, encoded, err := a.foundingEntry()
		if err == nil {
			err = a.commit(ctx, next, encoded)
		}
		if err == nil {
			if next.Sworn != nil {
				a.log.Info("the store is sworn: an operator must sign changes", "operator", a.opts.Sworn.Name)
			}
			if next.Guard {
				a.log.Info("the store is guarded: events must be signed or come with a token")
			}
			continue
		}
		a.log.Warn("the store is not founded yet and accepts no events", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}
