package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// A snapshot is a magic and a version byte, then all records in the order of the buckets' names and of the keys, each as
//
//	length of the bucket's name, name, length of the key, key, length of the value, value     (lengths are unsigned varints)
//
// then a zero byte, the number of records as a varint, and a CRC-32C (Castagnoli) of all before it. Equal states give equal snapshots, byte by byte.
const (
	snapshotMagic   = "LAURELSN"
	snapshotVersion = 1
)

const (
	maxName  = 64
	maxKey   = bolt.MaxKeySize
	maxValue = 64 << 20
)

var errSnapshot = errors.New("the snapshot is damaged, or of a newer version of laurel")

// Snapshot is the state at one moment, to be written out while the machine goes on.
type Snapshot struct {
	tx      *bolt.Tx
	machine *Machine
}

// Snapshot takes hold of the present state. It costs a read transaction and nothing else; Close must be called.
func (m *Machine) Snapshot() (*Snapshot, error) {
	tx, err := m.read()
	if err != nil {
		return nil, err
	}
	return &Snapshot{tx, m}, nil
}

// Close lets go of the state.
func (s *Snapshot) Close() error { return s.tx.Rollback() }

// Past tells whether another state was put in the place of the one that this is of.
func (s *Snapshot) Past() bool {
	s.machine.mu.RLock()
	defer s.machine.mu.RUnlock()
	return s.tx.DB() != s.machine.db
}

// WriteTo writes the snapshot. Records are checked as they are read, so a damaged database makes no snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &summing{w: bufio.NewWriterSize(w, 1<<16), sum: crc32.New(castagnoli)}
	out.write([]byte(snapshotMagic))
	out.write([]byte{snapshotVersion})
	records := uint64(0)
	var scratch []byte
	for _, name := range buckets {
		c := s.tx.Bucket(name).Cursor()
		for k, sealed := c.First(); k != nil && out.err == nil; k, sealed = c.Next() {
			v, err := unseal(k, sealed)
			if err != nil {
				return out.n, fmt.Errorf("bucket %s: %w", name, err)
			}
			scratch = binary.AppendUvarint(scratch[:0], uint64(len(name)))
			scratch = append(scratch, name...)
			scratch = binary.AppendUvarint(scratch, uint64(len(k)))
			scratch = append(scratch, k...)
			scratch = binary.AppendUvarint(scratch, uint64(len(v)))
			out.write(scratch)
			out.write(v)
			records++
		}
	}
	out.write(binary.AppendUvarint([]byte{0}, records))
	out.write(binary.BigEndian.AppendUint32(nil, out.sum.Sum32()))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// summing writes, counts and sums up until the first error.
type summing struct {
	w   *bufio.Writer
	sum hash.Hash32
	n   int64
	err error
}

func (s *summing) write(b []byte) {
	if s.err != nil {
		return
	}
	n, err := s.w.Write(b)
	s.n, s.err = s.n+int64(n), err
	s.sum.Write(b)
}

// restoreStep is how many bytes of records go into one transaction: what a restore keeps in memory.
const restoreStep = 4 << 20

// recordOverhead is about what a record costs in memory beside its key and value.
const recordOverhead = 200

// buildDatabase makes the database of a snapshot at path, and leaves it open.
func buildDatabase(path string, r io.Reader) (*bolt.DB, error) {
	db, err := createDatabase(path)
	if err != nil {
		return nil, err
	}
	if err := fillDatabase(db, r); err != nil {
		return nil, errors.Join(err, dropDatabase(db, path))
	}
	return db, nil
}

func fillDatabase(db *bolt.DB, r io.Reader) error {
	in := newSnapshotReader(r)
	if err := in.header(); err != nil {
		return err
	}
	for more := true; more; {
		err := db.Update(func(tx *bolt.Tx) error {
			for size := 0; size < restoreStep; {
				bucket, k, v, err := in.record()
				if err != nil || bucket == nil {
					more = false
					return err
				}
				b := tx.Bucket(bucket)
				b.FillPercent = 0.9 // the keys come in order
				if err := b.Put(k, seal(k, v)); err != nil {
					return err
				}
				size += recordOverhead + len(k) + len(v)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	// Opening it would build the index too, but readers would have to wait for that.
	if err := buildIndex(db); err != nil {
		return err
	}
	return nil
}

// snapshotReader reads a snapshot that may be anything: lengths are bounded, and memory is taken only for bytes that have come.
type snapshotReader struct {
	r       *bufio.Reader
	sum     hash.Hash32
	records uint64
	last    struct{ bucket, key []byte }
	one     [1]byte
}

func newSnapshotReader(r io.Reader) *snapshotReader {
	return &snapshotReader{r: bufio.NewReaderSize(r, 1<<16), sum: crc32.New(castagnoli)}
}

// ReadByte reads one byte, for binary.ReadUvarint.
func (s *snapshotReader) ReadByte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.one[0] = c
		s.sum.Write(s.one[:])
	}
	return c, err
}

func (s *snapshotReader) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if n > limit {
		return nil, errSnapshot
	}
	// A length that is a lie must not take memory.
	b := make([]byte, 0, min(n, 1<<16))
	for uint64(len(b)) < n {
		b = slices.Grow(b, int(min(n-uint64(len(b)), 1<<16)))
		part := b[len(b):min(uint64(cap(b)), n)]
		if _, err := io.ReadFull(s.r, part); err != nil {
			return nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		b = b[:len(b)+len(part)]
	}
	s.sum.Write(b)
	return b, nil
}

func (s *snapshotReader) header() error {
	h := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(s.r, h); err != nil || string(h) != snapshotMagic+string(rune(snapshotVersion)) {
		return errSnapshot
	}
	s.sum.Write(h)
	return nil
}

// record is the next record; a nil bucket is the end of a snapshot that is whole.
func (s *snapshotReader) record() (bucket, k, v []byte, err error) {
	name, err := s.bytes(maxName)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(name) == 0 {
		return nil, nil, nil, s.end()
	}
	for _, b := range buckets {
		if bytes.Equal(b, name) {
			bucket = b
		}
	}
	if k, err = s.bytes(maxKey); err != nil {
		return nil, nil, nil, err
	}
	order := bytes.Compare(bucket, s.last.bucket)
	if bucket == nil || len(k) == 0 || order < 0 || order == 0 && bytes.Compare(k, s.last.key) <= 0 {
		return nil, nil, nil, errSnapshot
	}
	s.last.bucket, s.last.key = bucket, k
	s.records++
	v, err = s.bytes(maxValue)
	return bucket, k, v, err
}

func (s *snapshotReader) end() error {
	n, err := binary.ReadUvarint(s)
	if err != nil || n != s.records {
		return errSnapshot
	}
	want := s.sum.Sum32()
	var sum [4]byte
	if _, err := io.ReadFull(s.r, sum[:]); err != nil || binary.BigEndian.Uint32(sum[:]) != want {
		return errSnapshot
	}
	return nil
}
