package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// powerDisk is a file system as a list of operations, from which the content of a disk after a
// power loss is made. Operations have two moments, their begin and their end, as line numbers of
// the recording. An operation on a file is certain to be on the disk once an fsync of the file,
// begun after the operation ended, has ended. Operations on the names of a directory need an
// fsync of that directory.
type powerDisk struct {
	root *powerInode
	last int // the last moment that was recorded
}

// powerInode is a file or a directory.
type powerInode struct {
	path    string // under which it was made
	dir     bool
	changes []powerChange
	syncs   []span
	names   map[string]*powerInode // of a directory, as the running system sees it
	gone    map[string]*powerInode // what had a name before
}

// span is the begin and the end of an operation. A system call that a kill has interrupted ends
// when the process does.
type span struct{ begin, end int }

// powerChange is a write, a change of the size, or a change of the names of a directory.
type powerChange struct {
	span
	at       int64
	data     []byte
	resize   bool // the size becomes at
	grow     bool // the size becomes at if it is less
	removed  string
	named    string
	newInode *powerInode
}

func newPowerDisk(root string) *powerDisk {
	return &powerDisk{root: &powerInode{path: root, dir: true, names: map[string]*powerInode{}}}
}

// find returns the inode of a path, nil if there is none, and the directory and the name that it has
// in there. It reports false for a path that is not on this disk.
func (d *powerDisk) find(path string) (in, parent *powerInode, name string, ok bool) {
	if path == d.root.path {
		return d.root, nil, "", true
	}
	rest, ok := strings.CutPrefix(path, d.root.path+"/")
	if !ok {
		return nil, nil, "", false
	}
	in = d.root
	for name = range strings.SplitSeq(rest, "/") {
		if in == nil || !in.dir {
			return nil, nil, "", false
		}
		parent, in = in, in.names[name]
	}
	return in, parent, name, true
}

// put gives in a name in a directory.
func (p *powerInode) put(s span, name string, in *powerInode) {
	p.names[name] = in
	p.changes = append(p.changes, powerChange{span: s, named: name, newInode: in})
}

func (p *powerInode) remove(s span, name string) {
	p.forget(name)
	p.changes = append(p.changes, powerChange{span: s, removed: name})
}

func (p *powerInode) forget(name string) {
	if p.gone == nil {
		p.gone = map[string]*powerInode{}
	}
	p.gone[name] = p.names[name]
	delete(p.names, name)
}

// move is a rename within a directory.
func (p *powerInode) move(s span, from, to string) {
	in := p.names[from]
	p.forget(from)
	p.names[to] = in
	p.changes = append(p.changes, powerChange{span: s, removed: from, named: to, newInode: in})
}

// parts returns the changes that are certain to be on the disk at a moment, and those that may be.
func (p *powerInode) parts(cut int) (certain, open []powerChange) {
	for _, c := range p.changes {
		if c.begin >= cut {
			continue
		}
		if slices.ContainsFunc(p.syncs, func(s span) bool { return c.end < s.begin && s.end < cut }) {
			certain = append(certain, c)
		} else {
			open = append(open, c)
		}
	}
	return certain, open
}

// The units in which a disk writes: what is within one is written wholly or not at all.
const (
	sectorBytes = 512
	pageBytes   = 4096
)

// loss is what happens to the operations that were not synced.
type loss int

const (
	lossNone    loss = iota // all of them are on the disk
	lossAll                 // none
	lossPrefix              // those up to some moment, the last one torn
	lossPages               // each page of a file is of some moment of its own
	lossSectors             // each sector
	lossOnePage             // one page of a file is as it was at some moment, the rest is on the disk
	lossKinds
)

// powerCut makes the content of a disk after a power loss at a moment.
type powerCut struct {
	at    int
	rand  *rand.Rand
	fixed loss // for all files and directories, if not negative
}

func (c *powerCut) loss() loss {
	if c.fixed >= 0 {
		return c.fixed
	}
	return loss(c.rand.IntN(int(lossKinds)))
}

// names returns what a directory holds.
func (c *powerCut) names(p *powerInode) map[string]*powerInode {
	certain, open := p.parts(c.at)
	kept := open
	switch c.loss() {
	case lossNone, lossOnePage:
	case lossAll:
		kept = nil
	case lossPages, lossSectors: // any of them: not every file system keeps their order
		kept = slices.DeleteFunc(slices.Clone(open), func(powerChange) bool { return c.rand.IntN(2) == 0 })
	default:
		kept = open[:c.rand.IntN(len(open)+1)]
	}
	names := map[string]*powerInode{}
	for _, change := range slices.Concat(certain, kept) {
		if change.removed != "" {
			delete(names, change.removed)
		}
		if change.named != "" {
			names[change.named] = change.newInode
		}
	}
	return names
}

// apply makes a change of a file.
func (c *powerChange) apply(b []byte) []byte {
	if c.resize || c.grow {
		if c.grow && int64(len(b)) >= c.at {
			return b
		}
		return resized(b, int(c.at))
	}
	if end := int(c.at) + len(c.data); end > len(b) {
		b = resized(b, end)
	}
	copy(b[c.at:], c.data)
	return b
}

func resized(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

// content returns what a file holds.
func (c *powerCut) content(p *powerInode) []byte {
	certain, open := p.parts(c.at)
	var b []byte
	for i := range certain {
		b = certain[i].apply(b)
	}
	if len(open) == 0 {
		return b
	}
	switch c.loss() {
	case lossAll:
		return b
	case lossPrefix:
		open = open[:1+c.rand.IntN(len(open))]
		if last := &open[len(open)-1]; len(last.data) > 0 {
			torn := *last
			torn.data = torn.data[:max(0, int(tornAt(c.rand, last)))]
			open = append(slices.Clone(open[:len(open)-1]), torn)
		}
	case lossPages:
		return c.versions(b, open, pageBytes)
	case lossSectors:
		return c.versions(b, open, sectorBytes)
	case lossOnePage:
		return c.onePage(b, open)
	}
	for i := range open {
		b = open[i].apply(b)
	}
	return b
}

// tornAt returns how much of a write is on the disk: up to the end of a sector.
func tornAt(r *rand.Rand, w *powerChange) int64 {
	sectors := (w.at+int64(len(w.data))-1)/sectorBytes - w.at/sectorBytes + 1
	end := (w.at/sectorBytes+r.Int64N(sectors+1))*sectorBytes - w.at
	return min(end, int64(len(w.data)))
}

// versions returns a file of which each unit is as it was at some moment since it was synced, and
// its size too.
func (c *powerCut) versions(b []byte, open []powerChange, unit int) []byte {
	states := [][]byte{b}
	for i := range open {
		states = append(states, open[i].apply(slices.Clone(states[i])))
	}
	out := make([]byte, len(states[c.rand.IntN(len(states))]))
	for at := 0; at < len(out); at += unit {
		from := states[c.rand.IntN(len(states))]
		if at < len(from) {
			copy(out[at:min(at+unit, len(out))], from[at:])
		}
	}
	return out
}

// onePage returns a file of which one page that was written is as it was at some moment before.
func (c *powerCut) onePage(b []byte, open []powerChange) []byte {
	some := c.rand.IntN(len(open))
	var before []byte
	for i := range open {
		if i == some {
			before = slices.Clone(b)
		}
		b = open[i].apply(b)
	}
	at := int(open[some].at) / pageBytes * pageBytes
	if pages := len(open[some].data) / pageBytes; pages > 0 {
		at += c.rand.IntN(pages) * pageBytes
	}
	for i := at; i < min(at+pageBytes, len(b)); i++ {
		b[i] = 0
		if i < len(before) {
			b[i] = before[i]
		}
	}
	return b
}

// powerBoot names this boot of the machine, on which the members were recorded.
var powerBoot = func() []byte {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if b = bytes.TrimSpace(b); err != nil || len(b) == 0 {
		b = []byte("no boot is known")
	}
	return b
}()

// write writes what the disk holds to a directory.
func (c *powerCut) write(p *powerInode, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	names := c.names(p)
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list) // the same seed gives the same disk
	for _, name := range list {
		path := filepath.Join(to, name)
		var err error
		if in := names[name]; in.dir {
			err = c.write(in, path)
		} else {
			// The power comes back with another boot of the machine.
			err = os.WriteFile(path, bytes.ReplaceAll(c.content(in), powerBoot, []byte("an earlier boot")), 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compare reports how a directory differs from what was recorded of it, so that no operation can
// have gone unseen.
func (d *powerDisk) compare(ignored string) error {
	all := &powerCut{at: d.last + 1, fixed: lossNone}
	var look func(p *powerInode, path string) error
	look = func(p *powerInode, path string) error {
		there, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range there {
			if p.names[e.Name()] == nil {
				return fmt.Errorf("%s/%s was made unseen", path, e.Name())
			}
		}
		for name, in := range p.names {
			path := filepath.Join(path, name)
			if in.dir {
				err = look(in, path)
			} else if has, failed := os.ReadFile(path); failed != nil {
				err = failed
			} else if name != ignored && !bytes.Equal(has, all.content(in)) {
				err = fmt.Errorf("%s has %d bytes, and %d other ones were recorded", path, len(has), len(all.content(in)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return look(d.root, d.root.path)
}
