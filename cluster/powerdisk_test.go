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

// recordedDisk is a file system as a list of operations, from which the content of the
// disk after a loss of power is computed. Times are line numbers of the recording; each
// operation has a begin and an end. A change of a file is certain to be on the disk once
// an fsync of the file has ended that began after the change ended. Changes of the names
// in a directory need an fsync of the directory.
type recordedDisk struct {
	root *inode
	last int // the last time in the recording
}

// inode is a file or a directory.
type inode struct {
	path    string // under which it was made
	dir     bool
	changes []diskChange
	syncs   []span
	names   map[string]*inode // of a directory, as the running system sees it
	removed map[string]*inode // the last inode of each name that was removed
}

// span is the begin and the end of an operation. A system call that a kill has
// interrupted ends with the process.
type span struct{ begin, end int }

// diskChange is a write, a change of the size, or a change of the names in a directory.
type diskChange struct {
	span
	at       int64
	data     []byte
	resize   bool // the size becomes at
	grow     bool // the size becomes at if it is less
	removed  string
	named    string
	newInode *inode
}

func newRecordedDisk(root string) *recordedDisk {
	return &recordedDisk{root: &inode{path: root, dir: true, names: map[string]*inode{}}}
}

// find returns the inode of a path, nil if it does not exist, its directory and its name
// there. ok is false for a path that is not on this disk.
func (d *recordedDisk) find(path string) (in, parent *inode, name string, ok bool) {
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

// add adds a name to a directory.
func (p *inode) add(s span, name string, in *inode) {
	p.names[name] = in
	p.changes = append(p.changes, diskChange{span: s, named: name, newInode: in})
}

func (p *inode) remove(s span, name string) {
	p.forget(name)
	p.changes = append(p.changes, diskChange{span: s, removed: name})
}

func (p *inode) forget(name string) {
	if p.removed == nil {
		p.removed = map[string]*inode{}
	}
	p.removed[name] = p.names[name]
	delete(p.names, name)
}

// rename renames a file within a directory.
func (p *inode) rename(s span, from, to string) {
	in := p.names[from]
	p.forget(from)
	p.names[to] = in
	p.changes = append(p.changes, diskChange{span: s, removed: from, named: to, newInode: in})
}

// changesAt returns the changes that are certain to be on the disk at a time, and those
// that may be.
func (p *inode) changesAt(cut int) (certain, pending []diskChange) {
	for _, c := range p.changes {
		if c.begin >= cut {
			continue
		}
		if slices.ContainsFunc(p.syncs, func(s span) bool { return c.end < s.begin && s.end < cut }) {
			certain = append(certain, c)
		} else {
			pending = append(pending, c)
		}
	}
	return certain, pending
}

// The units in which a disk writes: each is written as a whole or not at all.
const (
	sectorBytes = 512
	pageBytes   = 4096
)

// loss selects which of the changes that were not synced are lost.
type loss int

const (
	lossNone    loss = iota // none of them
	lossAll                 // all of them
	lossPrefix              // all after some time; the last one kept is torn
	lossPages               // each page of a file is as it was at a time of its own
	lossSectors             // each sector is as it was at a time of its own
	lossOnePage             // one page of a file is as it was at some time, the rest is complete
	lossKinds
)

// powerCut is a loss of power at a time. It computes the content of the disk afterwards.
type powerCut struct {
	at    int
	rand  *rand.Rand
	fixed loss // of all files and directories; negative for a random one each
}

func (c *powerCut) loss() loss {
	if c.fixed >= 0 {
		return c.fixed
	}
	return loss(c.rand.IntN(int(lossKinds)))
}

// names returns the names in a directory.
func (c *powerCut) names(p *inode) map[string]*inode {
	certain, pending := p.changesAt(c.at)
	kept := pending
	switch c.loss() {
	case lossNone, lossOnePage:
	case lossAll:
		kept = nil
	case lossPages, lossSectors: // any subset: not every file system keeps the order
		kept = slices.DeleteFunc(slices.Clone(pending), func(diskChange) bool { return c.rand.IntN(2) == 0 })
	default:
		kept = pending[:c.rand.IntN(len(pending)+1)]
	}
	names := map[string]*inode{}
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

// apply applies a change to the content of a file.
func (c *diskChange) apply(b []byte) []byte {
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

// content returns the content of a file.
func (c *powerCut) content(p *inode) []byte {
	certain, pending := p.changesAt(c.at)
	var b []byte
	for i := range certain {
		b = certain[i].apply(b)
	}
	if len(pending) == 0 {
		return b
	}
	switch c.loss() {
	case lossAll:
		return b
	case lossPrefix:
		pending = pending[:1+c.rand.IntN(len(pending))]
		if last := &pending[len(pending)-1]; len(last.data) > 0 {
			torn := *last
			torn.data = torn.data[:max(0, int(tornAt(c.rand, last)))]
			pending = append(slices.Clone(pending[:len(pending)-1]), torn)
		}
	case lossPages:
		return c.versions(b, pending, pageBytes)
	case lossSectors:
		return c.versions(b, pending, sectorBytes)
	case lossOnePage:
		return c.onePage(b, pending)
	}
	for i := range pending {
		b = pending[i].apply(b)
	}
	return b
}

// tornAt returns how many bytes of a write are on the disk: up to the end of a random
// sector.
func tornAt(r *rand.Rand, w *diskChange) int64 {
	sectors := (w.at+int64(len(w.data))-1)/sectorBytes - w.at/sectorBytes + 1
	end := (w.at/sectorBytes+r.Int64N(sectors+1))*sectorBytes - w.at
	return min(end, int64(len(w.data)))
}

// versions returns the content of a file of which each unit, and the size, is as it was
// at a random time since the last sync.
func (c *powerCut) versions(b []byte, pending []diskChange, unit int) []byte {
	states := [][]byte{b}
	for i := range pending {
		states = append(states, pending[i].apply(slices.Clone(states[i])))
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

// onePage returns the content of a file of which one page of a random change is as it was
// before that change.
func (c *powerCut) onePage(b []byte, pending []diskChange) []byte {
	some := c.rand.IntN(len(pending))
	var before []byte
	for i := range pending {
		if i == some {
			before = slices.Clone(b)
		}
		b = pending[i].apply(b)
	}
	at := int(pending[some].at) / pageBytes * pageBytes
	if pages := len(pending[some].data) / pageBytes; pages > 0 {
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

// bootID identifies this boot of the machine, during which the members were recorded.
var bootID = func() []byte {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if b = bytes.TrimSpace(b); err != nil || len(b) == 0 {
		b = []byte("boot unknown")
	}
	return b
}()

// write writes the content of the disk to a directory.
func (c *powerCut) write(p *inode, to string) error {
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
			// After a loss of power the machine boots again.
			err = os.WriteFile(path, bytes.ReplaceAll(c.content(in), bootID, []byte("an earlier boot")), 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compare returns an error if a directory differs from the recording, which has then
// missed an operation.
func (d *recordedDisk) compare(ignored string) error {
	all := &powerCut{at: d.last + 1, fixed: lossNone}
	var look func(p *inode, path string) error
	look = func(p *inode, path string) error {
		there, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range there {
			if p.names[e.Name()] == nil {
				return fmt.Errorf("%s/%s was made by an operation that is not recorded", path, e.Name())
			}
		}
		for name, in := range p.names {
			path := filepath.Join(path, name)
			if in.dir {
				err = look(in, path)
			} else if has, failed := os.ReadFile(path); failed != nil {
				err = failed
			} else if name != ignored && !bytes.Equal(has, all.content(in)) {
				err = fmt.Errorf("%s has %d bytes, which differ from the %d bytes of the recording",
					path, len(has), len(all.content(in)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return look(d.root, d.root.path)
}
