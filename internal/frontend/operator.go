package frontend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// makeFirstOperator gives a new group an operator once this frontend is its master, and
// leaves the token in the data directory. It does nothing in a group that has ever had an
// operator.
func (f *Frontend) makeFirstOperator(ctx context.Context) {
	file := filepath.Join(f.options.Dir, pki.OperatorFile)
	logged := ""
	poll(ctx, 100*time.Millisecond, func() bool {
		if !f.member.Master() {
			return false
		}
		if f.member.Access().Settings.Sworn { // an operator signs the grants of tokens
			return true
		}
		for _, g := range f.member.Access().Grants {
			if g.Role == access.RoleOperator {
				return true
			}
		}
		err := makeOperator(ctx, f.member, file)
		if err == nil {
			f.options.Logger.Info("made the group's first operator; "+
				"pass its token to laurel's commands with --token @FILE or LAUREL_TOKEN", "file", file)
		} else if s := err.Error(); s != logged && ctx.Err() == nil {
			logged = s
			f.options.Logger.Warn("could not make the group's first operator; trying again", "err", err)
		}
		return err == nil
	})
}

// makeOperator writes the token to the disk before it proposes the grant: a grant whose
// token was lost would be useless, and after a crash the same token is proposed again.
func makeOperator(ctx context.Context, m *cluster.Member, file string) error {
	token, err := operatorToken(file)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	return m.ChangeAccess(ctx, access.Change{
		At: now,
		By: m.ID(),
		Grant: &access.Grant{
			ID:      token.ID,
			Name:    "operator",
			Role:    access.RoleOperator,
			Hash:    token.Hash(),
			Created: now,
		},
	})
}

// operatorToken reads the token in a file, or makes one and writes it there.
func operatorToken(path string) (access.BearerToken, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		token, err := access.ParseBearerToken(string(text))
		if err != nil {
			return token, fmt.Errorf("%s is damaged: %w; delete it and start again", path, err)
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return access.BearerToken{}, err
	}
	token := access.NewBearerToken()
	return token, pki.WritePrivateFile(path, []byte(token.Text()+"\n"))
}

const (
	// recoveryFile, in the data directory of a voter, asks for an operator. It has no
	// secret.
	recoveryFile = "operator.recovery"
	// recoveryPause is the pause between two attempts to have the operator made, and
	// recoveryTimeout bounds one.
	recoveryPause   = time.Second
	recoveryTimeout = 10 * time.Second
)

// AskForOperator leaves a request for an operator in the data directory of a voter of a
// secure group, and returns the operator's token. It is valid when the frontend has been
// started again and the group has a master.
func AskForOperator(dir string) (access.BearerToken, error) {
	token := access.NewBearerToken()
	body, err := json.Marshal(access.Recovery{ID: token.ID, Hash: token.Hash()})
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, recoveryFile), body)
	}
	if err != nil {
		return token, fmt.Errorf("leave a request for an operator in %s: %w", dir, err)
	}
	return token, nil
}

// recoverOperator has the operator made that AskForOperator has asked for before this
// frontend started. The request is deleted once the group has answered it.
func (f *Frontend) recoverOperator(ctx context.Context) {
	file := filepath.Join(f.options.Dir, recoveryFile)
	log := f.options.Logger.With("file", file)
	r, err := readRecovery(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		log.Error("the request for an operator cannot be read; run laurel access recover again", "err", err)
		return
	}
	logged := ""
	poll(ctx, recoveryPause, func() bool {
		attempt, cancel := context.WithTimeout(ctx, recoveryTimeout)
		defer cancel()
		err := f.member.Issuer().RecoverOperator(attempt, r)
		switch {
		case err == nil:
			log.Warn("the group has a new operator, as laurel access recover has asked", "token", r.ID)
		case isRefusal(err):
			log.Error("the group refused to make the operator that laurel access recover has asked for", "err", err)
		default:
			if text := err.Error(); text != logged && ctx.Err() == nil {
				logged = text
				log.Info("waiting for the group to make an operator, as laurel access recover has asked", "err", err)
			}
			return false
		}
		if err := os.Remove(file); err != nil {
			log.Warn("could not delete the request for an operator", "err", err)
		}
		return true
	})
}

func readRecovery(file string) (r access.Recovery, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// isRefusal reports whether the group has refused, and would refuse again.
func isRefusal(err error) bool {
	switch score.CodeOf(err) {
	case score.InvalidEvent, score.IDConflict, score.StatusConflict, score.Forbidden, score.Unsigned:
		return true
	}
	return false
}
