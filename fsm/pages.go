package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// bbolt trusts its file. On a damaged page it panics, on a goroutine of its own too, or goes round in a circle until the memory is full.
// So a file that was not closed is read once here, page by page, before bbolt opens it: that every page is in the tree once, that its
// elements lie in it without a gap and in order, and that every record has its checksum. This is version 2 of bbolt's format:
//
//	page     id 8, flags 2, count 2, overflow 4 (pages more), then count elements, then their keys and values without a gap
//	branch   offset 4 of the key from the element, length 4 of the key, page 8
//	leaf     flags 4 (1: a bucket), offset 4, length 4 of the key, length 4 of the value, which follows the key
//	bucket   root page 8 (0: a leaf page follows, inline), sequence 8
//	meta     magic 4, version 4, page size 4, flags 4, root bucket 16, freelist 8, number of pages 8, transaction 8, FNV-1a 8
//
// in the byte order of the machine.
const (
	pageHeader  = 16
	branchPage  = 1
	leafPage    = 2
	bucketEntry = 1
	elementSize = 16
	bucketSize  = 16
	metaSize    = 64
	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

var errPages = errors.New("its pages do not fit together")

type pages struct {
	file  io.ReaderAt
	size  int64 // of a page
	count uint64
	seen  map[uint64]bool
}

// checkPages tells what is wrong with the database at path; nil if nothing is.
func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p := &pages{file: f, size: int64(os.Getpagesize()), seen: map[uint64]bool{0: true, 1: true}}
	root, err := p.meta()
	if err != nil {
		return err
	}
	var found [][]byte
	err = p.walk(root, &order{}, func(flags uint32, name, value []byte) error {
		if flags != bucketEntry || len(value) < bucketSize {
			return errPages
		}
		found = append(found, name)
		o := &order{}
		if root := binary.NativeEndian.Uint64(value); root != 0 {
			return p.walk(root, o, sealed)
		}
		return p.elements(value[bucketSize:], o, sealed)
	})
	if err == nil && !knownBuckets(found) {
		err = fmt.Errorf("it has the buckets %q", found)
	}
	return err
}

func sealed(flags uint32, k, v []byte) error {
	if flags != 0 {
		return errPages
	}
	_, err := unseal(k, v)
	return err
}

// meta is the root of the last transaction. Both metas must be whole: a crash of the process does not tear one.
func (p *pages) meta() (root uint64, err error) {
	last := uint64(0)
	for i := range int64(2) {
		var m [metaSize]byte
		if _, err := p.file.ReadAt(m[:], i*p.size+pageHeader); err != nil {
			return 0, err
		}
		sum := fnv.New64a()
		sum.Write(m[:metaSize-8])
		number := binary.NativeEndian
		if number.Uint32(m[:]) != boltMagic || number.Uint32(m[4:]) != boltVersion || int64(number.Uint32(m[8:])) != p.size ||
			number.Uint64(m[metaSize-8:]) != sum.Sum64() {
			return 0, errors.New("its first pages are damaged")
		}
		if tx := number.Uint64(m[48:]); tx >= last {
			last, root, p.count = tx, number.Uint64(m[16:]), number.Uint64(m[40:])
		}
	}
	return root, nil
}

// order checks that keys ascend through the whole of a tree. A branch's key is no larger than the first of the leaf below it.
type order struct{ last, least []byte }

func (o *order) next(k []byte, leaf bool) bool {
	ascends := (o.last == nil || bytes.Compare(k, o.last) > 0) && bytes.Compare(k, o.least) >= 0
	if leaf {
		o.last = k
	} else {
		o.least = k
	}
	return ascends
}

// walk calls f for each element of the leaves below a page.
func (p *pages) walk(id uint64, o *order, f func(flags uint32, k, v []byte) error) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	return p.elements(page, o, f)
}

// read reads a page with those that it overflows into, which nothing else may have.
func (p *pages) read(id uint64) ([]byte, error) {
	if id >= p.count || id > math.MaxInt64/uint64(p.size)/2 {
		return nil, errPages
	}
	var header [pageHeader]byte
	if _, err := p.file.ReadAt(header[:], int64(id)*p.size); err != nil {
		return nil, err
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if binary.NativeEndian.Uint64(header[:]) != id || id+overflow >= p.count {
		return nil, errPages
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			return nil, errPages
		}
		p.seen[i] = true
	}
	page := make([]byte, (overflow+1)*uint64(p.size))
	_, err := p.file.ReadAt(page, int64(id)*p.size)
	return page, err
}

// elements calls f for each element of a leaf, or of the leaves below a branch.
func (p *pages) elements(page []byte, o *order, f func(flags uint32, k, v []byte) error) error {
	if len(page) < pageHeader {
		return errPages
	}
	number := binary.NativeEndian
	kind, count := number.Uint16(page[8:]), int(number.Uint16(page[10:]))
	if kind != branchPage && kind != leafPage || kind == branchPage && count == 0 {
		return errPages
	}
	at := pageHeader + count*elementSize
	for i := range count {
		start := pageHeader + i*elementSize
		if start+elementSize > len(page) {
			return errPages
		}
		e := page[start : start+elementSize]
		var offset, keySize, valueSize, flags uint32
		if kind == branchPage {
			offset, keySize = number.Uint32(e), number.Uint32(e[4:])
		} else {
			flags, offset, keySize, valueSize = number.Uint32(e), number.Uint32(e[4:]), number.Uint32(e[8:]), number.Uint32(e[12:])
		}
		end := uint64(at) + uint64(keySize) + uint64(valueSize)
		if start+int(offset) != at || end > uint64(len(page)) {
			return errPages
		}
		k, v := page[at:at+int(keySize)], page[at+int(keySize):end]
		at = int(end)
		if !o.next(k, kind == leafPage) {
			return errPages
		}
		var err error
		if kind == branchPage {
			err = p.walk(number.Uint64(e[8:]), o, f)
		} else {
			err = f(flags, k, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
