package frontend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"laurel/cluster"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// operatorFile, in the data directory of the frontend that founded a group, holds the token of the
// group's first operator.
const operatorFile = "operator.token"

const operatorPoll = 100 * time.Millisecond

// makeFirstOperator gives a new group an operator once this frontend is its master, and leaves the
// token in the data directory. It does nothing in a group that has ever had an operator.
func (f *Frontend) makeFirstOperator(ctx context.Context) {
	tick := time.NewTicker(operatorPoll)
	defer tick.Stop()
	logged := ""
	for {
		if f.member.Master() {
			if hasOperator(f.member.Access()) {
				return
			}
			err := makeOperator(ctx, f.member, f.dir)
			if err == nil {
				f.log.Info("made the group's first operator; pass its token to laurel's commands with --token @FILE or LAUREL_TOKEN",
					"file", filepath.Join(f.dir, operatorFile))
				return
			}
			if s := err.Error(); s != logged && ctx.Err() == nil {
				logged = s
				f.log.Warn("could not make the group's first operator; trying again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func hasOperator(a *access.State) bool {
	for _, g := range a.Grants {
		if g.Role == access.RoleOperator {
			return true
		}
	}
	return false
}

// makeOperator writes the token to the disk before it proposes the grant: a grant whose token was
// lost would be useless, and after a crash the same token is proposed again.
func makeOperator(ctx context.Context, m *cluster.Member, dir string) error {
	token, err := operatorToken(filepath.Join(dir, operatorFile))
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
func operatorToken(path string) (pki.BearerToken, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		token, err := pki.ParseBearerToken(string(text))
		if err != nil {
			return token, fmt.Errorf("%s is damaged: %w; delete it and start again", path, err)
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return pki.BearerToken{}, err
	}
	token := pki.NewBearerToken()
	return token, pki.WritePrivateFile(path, []byte(token.Text()+"\n"))
}
