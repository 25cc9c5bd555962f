package database

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// A snapshot is a magic string and a version byte, then all records in the order of the
// bucket names and of the keys, each as
//
//	length of the bucket's name, name, length of the key, key, length of the value, value
//
// with lengths as unsigned varints; then a zero byte, the number of records as a varint,
// and a CRC-32C (Castagnoli) of everything before it. Equal states have equal snapshots,
// byte for byte.
const (
	snapshotMagic   = "LAURELSN"
	snapshotVersion = 2
)

const (
	maxName  = 64
	maxKey   = bolt.MaxKeySize
	maxValue = 64 << 20
)

var errSnapshot = errors.New("the snapshot is damaged, or was written by a newer version of laurel")

// WriteSnapshot writes a snapshot of the state that tx sees. It verifies the records'
// checksums, so a damaged database does not produce a snapshot.
func WriteSnapshot(tx *bolt.Tx, w io.Writer) error {
	sum := crc32.New(castagnoli)
	buffer := bufio.NewWriterSize(w, 1<<16) // keeps its first error
	out := io.MultiWriter(sum, buffer)
	scratch := append([]byte(snapshotMagic), snapshotVersion)
	out.Write(scratch)
	records := uint64(0)
	for _, name := range buckets {
		c := tx.Bucket(name).Cursor()
		for k, sealed := c.First(); k != nil; k, sealed = c.Next() {
			v, err := Unseal(k, sealed)
			if err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
			scratch = binary.AppendUvarint(scratch[:0], uint64(len(name)))
			scratch = append(scratch, name...)
			scratch = binary.AppendUvarint(scratch, uint64(len(k)))
			scratch = append(scratch, k...)
			scratch = binary.AppendUvarint(scratch, uint64(len(v)))
			out.Write(scratch)
			if _, err := out.Write(v); err != nil {
				return err
			}
			records++
		}
	}
	out.Write(binary.AppendUvarint([]byte{0}, records))
	buffer.Write(sum.Sum(nil))
	return buffer.Flush()
}

const (
	// stepBytes is the approximate number of bytes of records that one transaction writes
	// while a database is restored. It bounds the memory that this takes.
	stepBytes = 4 << 20
	// recordOverhead is the approximate memory that a record takes in a transaction
	// beside its key and value.
	recordOverhead = 200
)

// Restore creates the database of a snapshot at path and leaves it open. An error leaves
// no file behind.
func Restore(path string, snapshot io.Reader) (*bolt.DB, error) {
	db, err := create(path)
	if err != nil {
		return nil, err
	}
	if err := fill(db, snapshot); err != nil {
		return nil, errors.Join(err, Drop(path, db))
	}
	return db, nil
}

// fill writes the records of a snapshot, in transactions of about stepBytes.
func fill(db *bolt.DB, snapshot io.Reader) (err error) {
	var tx *bolt.Tx
	size := 0
	defer func() {
		switch {
		case tx == nil:
		case err == nil:
			err = tx.Commit()
		default:
			tx.Rollback()
		}
	}()
	return ReadSnapshot(snapshot, func(r Record) (err error) {
		if tx == nil {
			if tx, err = db.Begin(true); err != nil {
				return err
			}
			size = 0
		}
		bucket := tx.Bucket(r.Bucket)
		bucket.FillPercent = 0.9 // the keys are sorted
		if err := bucket.Put(r.Key, Seal(r.Key, r.Value)); err != nil {
			return err
		}
		if size += recordOverhead + len(r.Key) + len(r.Value); size < stepBytes {
			return nil
		}
		full := tx
		tx = nil
		return full.Commit()
	})
}

// Record is one record of a snapshot.
type Record struct{ Bucket, Key, Value []byte }

// ReadSnapshot calls f for each record of a snapshot. It fails if the snapshot is damaged,
// or with the first error of f.
func ReadSnapshot(snapshot io.Reader, f func(Record) error) error {
	in := &snapshotReader{r: bufio.NewReaderSize(snapshot, 1<<16), sum: crc32.New(castagnoli)}
	if err := in.header(); err != nil {
		return err
	}
	var last Record
	for records := uint64(0); ; records++ {
		name, err := in.bytes(maxName)
		if err != nil {
			return err
		}
		if len(name) == 0 {
			return in.end(records)
		}
		r, err := in.record(name)
		if err != nil {
			return err
		}
		order := cmp.Or(bytes.Compare(last.Bucket, r.Bucket), bytes.Compare(last.Key, r.Key))
		if order >= 0 {
			return errSnapshot
		}
		if err := f(r); err != nil {
			return err
		}
		last = r
	}
}

// snapshotReader reads a snapshot from an untrusted source: it bounds lengths, and
// allocates memory only for bytes that have arrived.
type snapshotReader struct {
	r   *bufio.Reader
	sum hash.Hash32 // of what has been read
	one [1]byte
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

// bytes reads a length and as many bytes.
func (s *snapshotReader) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if n > limit {
		return nil, errSnapshot
	}
	// A false length must not allocate memory.
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
	want := append([]byte(snapshotMagic), snapshotVersion)
	h := make([]byte, len(want))
	if _, err := io.ReadFull(s.r, h); err != nil || !bytes.Equal(h, want) {
		return errSnapshot
	}
	s.sum.Write(h)
	return nil
}

// record reads the rest of a record, which is in the bucket with the name.
func (s *snapshotReader) record(name []byte) (r Record, err error) {
	i := slices.IndexFunc(buckets, func(b []byte) bool { return bytes.Equal(b, name) })
	if i < 0 {
		return r, errSnapshot
	}
	r.Bucket = buckets[i]
	if r.Key, err = s.bytes(maxKey); err != nil {
		return r, err
	}
	if len(r.Key) == 0 {
		return r, errSnapshot
	}
	r.Value, err = s.bytes(maxValue)
	return r, err
}

func (s *snapshotReader) end(records uint64) error {
	n, err := binary.ReadUvarint(s)
	if err != nil || n != records {
		return errSnapshot
	}
	want := s.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(s.r, got); err != nil || !bytes.Equal(got, want) {
		return errSnapshot
	}
	return nil
}
