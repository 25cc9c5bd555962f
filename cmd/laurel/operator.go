package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"laurel/cluster"
	"laurel/score"
	"laurel/trust/pki"
)

// operatorFile, in the data directory of the frontend that founded a group, has the token of its first operator.
const operatorFile = "operator.token"

const operatorPoll = 100 * time.Millisecond

// firstOperator gives a new group an operator, once this frontend is its master, and leaves the token in the data directory. A group
// that has ever had one is left alone.
func (f *frontend) firstOperator(ctx context.Context, dir string) {
	tick := time.NewTicker(operatorPoll)
	defer tick.Stop()
	said := ""
	for {
		if f.member.Master() {
			if hasOperator(f.member.Access()) {
				return
			}
			err := makeOperator(ctx, f.member, dir)
			if err == nil {
				f.log.Info("made the group's first operator; laurel's commands take the token with --token @FILE or LAUREL_TOKEN", "token_in", filepath.Join(dir, operatorFile))
				return
			}
			if s := err.Error(); s != said && ctx.Err() == nil {
				said = s
				f.log.Warn("the group has no operator yet", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func hasOperator(a *score.Access) bool {
	for _, g := range a.Grants {
		if g.Role == score.RoleOperator {
			return true
		}
	}
	return false
}

// makeOperator writes the token first: what nobody could read would be of no use, and after a crash the same token is proposed again.
func makeOperator(ctx context.Context, m *cluster.Member, dir string) error {
	token, err := operatorToken(filepath.Join(dir, operatorFile))
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	return m.ChangeAccess(ctx, score.AccessChange{At: now, By: m.ID(),
		Grant: &score.Grant{ID: token.ID, Name: "operator", Role: score.RoleOperator, Hash: token.Hash(), Created: now}})
}

func operatorToken(path string) (pki.Bearer, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		token, err := pki.ParseBearer(string(text))
		if err != nil {
			return token, fmt.Errorf("%s is damaged: %w; delete it and start again", path, err)
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return pki.Bearer{}, err
	}
	token := pki.NewBearer()
	return token, pki.WriteFile(path, []byte(token.Text()+"\n"))
}
