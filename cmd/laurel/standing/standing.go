// Package standing is what `laurel up` does: it starts a group of frontends on this machine that stays when the terminal is closed.
//
// Nobody watches over the group: each frontend is a process of its own, and Up starts again what has died. Where the frontends are is
// remembered in a file beside their data.
package standing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/internal/pidfile"
)

// Options say which group.
type Options struct {
	Dir    string // has the data and the logs; made if it is missing
	RunDir string // of the pid files
	// Size is how many frontends there should be at least; 0 leaves it at what there is, or three.
	Size int
	// Program is the path of laurel.
	Program string
	// Env is the environment of the frontends.
	Env []string
}

// DefaultSize is how many frontends a new group has: as few as go on after one has died.
const DefaultSize = 3

// Frontend is a member of the group.
type Frontend struct {
	ID   string `json:"id"`
	HTTP string `json:"http"` // host:port
	Peer string `json:"peer"` // host:port

	PID   int   `json:"-"` // 0: it does not run
	State State `json:"-"`
}

// State is what Up has found or done.
type State uint8

const (
	Down    State = iota
	Running       // it was there already
	Started
	Removed // from the group, by somebody; it does not run
)

// URL is where clients reach the frontend.
func (f *Frontend) URL() string { return "http://" + f.HTTP }

// Group is a group in a directory.
type Group struct {
	o Options
	memory
}

// memory is what is kept of a group.
type memory struct {
	// Formed: the first frontend has made the group. To make it again, of an empty directory, would make another.
	Formed    bool        `json:"formed"`
	Frontends []*Frontend `json:"frontends"`
}

const (
	memoryFile = "group.json"
	lockFile   = "up.lock"
)

// load reads what is known of the group in the directory, and makes place for frontends that are new.
func load(o Options) (*Group, error) {
	g := &Group{o: o}
	b, err := os.ReadFile(filepath.Join(o.Dir, memoryFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, &g.memory); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w; it has the ids and addresses of the frontends, as its neighbours' logs tell them", filepath.Join(o.Dir, memoryFile), err)
		}
	}
	size := o.Size
	if size == 0 && len(g.Frontends) == 0 {
		size = DefaultSize
	}
	if len(g.Frontends) >= size {
		return g, nil
	}
	places := newPlaces(g.Frontends)
	for len(g.Frontends) < size {
		f := &Frontend{ID: "f" + strconv.Itoa(len(g.Frontends)+1)}
		if f.HTTP, f.Peer, err = places.next(); err != nil {
			return nil, err
		}
		g.Frontends = append(g.Frontends, f)
	}
	return g, g.save()
}

func (g *Group) save() error {
	b, err := json.Marshal(&g.memory, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	path := filepath.Join(g.o.Dir, memoryFile)
	// A file cut off by a crash would be a group that cannot be found again.
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (g *Group) data(f *Frontend) string { return filepath.Join(g.o.Dir, f.ID) }

// Log is the file to which a frontend logs.
func (g *Group) Log(f *Frontend) string { return filepath.Join(g.o.Dir, f.ID+".log") }

// find looks which frontends run, by their pid files.
func (g *Group) find() error {
	list, err := pidfile.List(g.o.RunDir)
	if err != nil {
		return err
	}
	defer pidfile.CloseAll(list)
	for _, p := range list {
		if i := slices.IndexFunc(g.Frontends, func(f *Frontend) bool { return p.Kind == pidfile.Frontend && p.Data == g.data(f) }); i >= 0 {
			g.Frontends[i].PID, g.Frontends[i].State = p.PID, Running
		}
	}
	return nil
}

// Up makes the group whole: it starts the frontends that do not run, and waits until all are ready. What was started stays when it fails.
func Up(ctx context.Context, o Options) (*Group, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, "member.json")); err == nil {
		return nil, fmt.Errorf("%s is the data directory of one frontend; a group needs a directory of its own", o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the group: %w", err)
	}
	unlock, err := pidfile.Lock(filepath.Join(o.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("another laurel up is at work in %s: %w", o.Dir, err)
	}
	defer unlock()
	g, err := load(o)
	if err != nil {
		return nil, err
	}
	if err := g.find(); err != nil {
		return nil, err
	}
	return g, g.start(ctx)
}

// entry is how a frontend comes into the group, if it is not in it.
func (g *Group) entry(f *Frontend) []string {
	if !g.Formed {
		return []string{"--bootstrap"}
	}
	var others []string
	for _, o := range g.Frontends {
		if o != f {
			others = append(others, o.URL())
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []string{"--join", strings.Join(others, ",")}
}
