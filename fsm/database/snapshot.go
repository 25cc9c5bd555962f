package database

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
	snapshotVersion = 1
)

const (
	maxName  = 64
	maxKey   = bolt.MaxKeySize
	maxValue = 64 << 20
)

var errSnapshot = errors.New("the snapshot is damaged, or was written by a newer version of laurel")

// WriteSnapshot writes a snapshot of the state that tx sees. It verifies the records'
// checksums, so a damaged database does not produce a snapshot.
func WriteSnapshot(tx *bolt.Tx, w io.Writer) (int64, error) {
	out := &checksumWriter{w: bufio.NewWriterSize(w, 1<<16), sum: crc32.New(castagnoli)}
	out.write([]byte(snapshotMagic))
	out.write([]byte{snapshotVersion})
	records := uint64(0)
	var scratch []byte
	for _, name := range stateBuckets {
		c := tx.Bucket(name).Cursor()
		for k, sealed := c.First(); k != nil && out.err == nil; k, sealed = c.Next() {
			v, err := Unseal(k, sealed)
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

// checksumWriter writes, counts and checksums bytes until the first error.
type checksumWriter struct {
	w   *bufio.Writer
	sum hash.Hash32
	n   int64
	err error
}

func (s *checksumWriter) write(b []byte) {
	if s.err != nil {
		return
	}
	n, err := s.w.Write(b)
	s.n, s.err = s.n+int64(n), err
	s.sum.Write(b)
}

// StepBytes is the approximate number of bytes of records that one transaction writes
// while a database is built. It bounds the memory that building takes.
const StepBytes = 4 << 20

// RecordOverhead is the approximate memory that a record takes in a transaction beside
// its key and value.
const RecordOverhead = 200

// Restore creates the database of a snapshot at path and leaves it open. Its Index bucket
// is empty. An error leaves no file behind.
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

// fill writes the records of a snapshot, in transactions of about StepBytes.
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
		if size += RecordOverhead + len(r.Key) + len(r.Value); size < StepBytes {
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
	in := newSnapshotReader(snapshot)
	if err := in.header(); err != nil {
		return err
	}
	for {
		bucket, k, v, err := in.record()
		if err != nil || bucket == nil {
			return err
		}
		if err := f(Record{bucket, k, v}); err != nil {
			return err
		}
	}
}

// snapshotReader reads a snapshot from an untrusted source: it bounds lengths, and
// allocates memory only for bytes that have arrived.
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
	h := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(s.r, h); err != nil || string(h) != snapshotMagic+string(rune(snapshotVersion)) {
		return errSnapshot
	}
	s.sum.Write(h)
	return nil
}

// record returns the next record, or a nil bucket at the end of a valid snapshot.
func (s *snapshotReader) record() (bucket, k, v []byte, err error) {
	name, err := s.bytes(maxName)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(name) == 0 {
		return nil, nil, nil, s.end()
	}
	for _, b := range stateBuckets {
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
