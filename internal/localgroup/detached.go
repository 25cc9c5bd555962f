package localgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/internal/pidfile"
	"laurel/trust/pki"
)

const (
	groupFile = "group.json"
	lockFile  = "up.lock"
)

// savedGroup is what is kept of a detached group beside its data.
type savedGroup struct {
	// Formed: the first frontend has bootstrapped the group. A second bootstrap, in an
	// empty directory, would make another group.
	Formed    bool       `json:"formed"`
	Frontends []Frontend `json:"frontends"`
}

// startDetached starts what does not run yet of the group in o.Dir. What it started stays
// when it fails.
func startDetached(ctx context.Context, o Options) (*Group, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, "member.json")); err == nil {
		return nil, fmt.Errorf("%s is the data directory of one frontend; a group needs a directory of its own", o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the group: %w", err)
	}
	unlock, err := pidfile.Lock(filepath.Join(o.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("another command starts frontends in %s at the moment: %w", o.Dir, err)
	}
	defer unlock()
	g := &Group{o: o}
	if err := g.load(); err != nil {
		return nil, err
	}
	if err := g.findRunning(); err != nil {
		return nil, err
	}
	return g, g.start(ctx)
}

// load reads the saved group and adds frontends until there are as many as asked for.
func (g *Group) load() error {
	path := filepath.Join(g.o.Dir, groupFile)
	var saved savedGroup
	b, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(b, &saved); err != nil {
			return fmt.Errorf("%s is damaged: %w; it holds the ids and addresses of the frontends, "+
				"which the logs beside it name, too", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	g.formed = saved.Formed
	for _, f := range saved.Frontends {
		g.members = append(g.members, g.newMember(f.ID, f.HTTP, f.Peer))
	}
	size := g.o.Size
	if size == 0 && len(g.members) == 0 {
		size = defaultSize
	}
	if len(g.members) >= size {
		return nil
	}
	for len(g.members) < size {
		_, claim, err := g.addMember()
		if err != nil {
			return err
		}
		claim.Close()
	}
	return g.save()
}

func (g *Group) save() error {
	b, err := json.Marshal(&savedGroup{g.formed, g.Frontends()}, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	return pki.WritePrivateFile(filepath.Join(g.o.Dir, groupFile), append(b, '\n'))
}

// findRunning finds the frontends that run by their pid files.
func (g *Group) findRunning() error {
	list, err := pidfile.List(g.o.RunDir)
	if err != nil {
		return err
	}
	defer pidfile.CloseAll(list)
	for _, p := range list {
		for _, m := range g.members {
			if p.Kind == pidfile.Frontend && p.Data == m.f.Dir {
				m.f.PID, m.f.State = p.PID, Running
			}
		}
	}
	return nil
}
