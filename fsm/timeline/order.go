package timeline

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"iter"
	"slices"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
)

// InOrder returns the events of all contests in the order of their revisions or, with a
// competition, those of its contests and of itself. An error ends the sequence. It remembers
// where each block is, some 50 bytes, and has read only the blocks that overlap.
func InOrder(timeline *bolt.Bucket, competition string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		keys := blockKeys(timeline, competition)
		var open blocks
		for {
			// The next event is in an open block, or is the first one of the next block.
			if len(keys) > 0 && (len(open) == 0 || firstOf(keys[0]) < open[0].next.Revision) {
				b, err := newBlock(keys[0], timeline.Get(keys[0]))
				keys = keys[1:]
				o := &openBlock{block: b}
				if err == nil && !o.advance() {
					err = database.ErrDamaged
				}
				if err != nil {
					yield(Row{}, err)
					return
				}
				heap.Push(&open, o)
				continue
			}
			if len(open) == 0 {
				return
			}
			o := open[0]
			if !yield(o.next, nil) {
				return
			}
			switch {
			case len(o.data) == 0:
				heap.Pop(&open)
			case o.advance():
				heap.Fix(&open, 0)
			default:
				yield(Row{}, database.ErrDamaged)
				return
			}
		}
	}
}

// blockKeys returns the keys of the blocks of a competition, or of all, by the revisions of
// their first events.
func blockKeys(timeline *bolt.Bucket, competition string) (keys [][]byte) {
	prefixes := [][]byte{nil}
	if competition != "" {
		prefixes = [][]byte{database.Prefix(competition), []byte(competition + "/")}
	}
	c := timeline.Cursor()
	for _, p := range prefixes {
		for k, _ := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, _ = c.Next() {
			if len(k) >= 8 { // newBlock refuses a shorter one, of which there is no revision
				keys = append(keys, k)
			}
		}
	}
	slices.SortFunc(keys, func(a, b []byte) int { return cmp.Compare(firstOf(a), firstOf(b)) })
	return keys
}

func firstOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// openBlock is a block of which some rows were read.
type openBlock struct {
	block
	next Row
}

// advance reads the next row. It returns false if the block is damaged.
func (o *openBlock) advance() (ok bool) {
	o.next, ok = o.block.next()
	return ok
}

// blocks is a heap of blocks by their next rows.
type blocks []*openBlock

func (b blocks) Len() int           { return len(b) }
func (b blocks) Less(i, j int) bool { return b[i].next.Revision < b[j].next.Revision }
func (b blocks) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b *blocks) Push(x any)        { *b = append(*b, x.(*openBlock)) }
func (b *blocks) Pop() any {
	last := (*b)[len(*b)-1]
	*b = (*b)[:len(*b)-1]
	return last
}
