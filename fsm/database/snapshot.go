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
// buckets and of the keys, each as
//
//	number of the bucket, length of the key, key, length of the value, value
//
// then a zero byte, the number of records, and a CRC-32C (Castagnoli) of everything
// before it. The number of a bucket is a byte, its place in buckets counted from 1. The
// other numbers have 4 bytes, big-endian, the number of records 8. Equal states have
// equal snapshots, byte for byte. See VersionOf for the version byte.
const snapshotMagic = "LAURELSN"

// maxValue is more than any record has. The largest is the access control: its limits in package
// access allow some 20 MB.
const maxValue = 64 << 20

var (
	errSnapshot   = errors.New("the snapshot is damaged")
	errNoSnapshot = errors.New("this is no snapshot of a store")
)

// WriteSnapshot writes a snapshot of the state that tx sees. It verifies the records'
// checksums, so a damaged database does not produce a snapshot.
func WriteSnapshot(tx *bolt.Tx, w io.Writer) error {
	version, err := VersionOf(tx)
	if err != nil {
		return err
	}
	out := NewSnapshotWriter(w, version)
	for _, name := range buckets {
		c := tx.Bucket(name).Cursor()
		for k, sealed := c.First(); k != nil; k, sealed = c.Next() {
			v, err := Unseal(k, sealed)
			if err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
			if err := out.Write(Record{name, k, v}); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

// SnapshotWriter writes a snapshot record by record.
type SnapshotWriter struct {
	buffer  *bufio.Writer // keeps its first error
	sum     hash.Hash32
	out     io.Writer // to both
	records uint64
	scratch []byte
}

// NewSnapshotWriter returns a writer of the snapshot of a state that has the version.
func NewSnapshotWriter(w io.Writer, version byte) *SnapshotWriter {
	s := &SnapshotWriter{buffer: bufio.NewWriterSize(w, 1<<16), sum: crc32.New(castagnoli)}
	s.out = io.MultiWriter(s.sum, s.buffer)
	s.out.Write(append([]byte(snapshotMagic), version))
	return s
}

// Write writes the next record. Records must come in the order of the buckets and keys.
func (s *SnapshotWriter) Write(r Record) error {
	number := slices.IndexFunc(buckets, func(name []byte) bool { return bytes.Equal(name, r.Bucket) }) + 1
	s.scratch = append(s.scratch[:0], byte(number))
	s.scratch = binary.BigEndian.AppendUint32(s.scratch, uint32(len(r.Key)))
	s.scratch = append(s.scratch, r.Key...)
	s.scratch = binary.BigEndian.AppendUint32(s.scratch, uint32(len(r.Value)))
	s.out.Write(s.scratch)
	_, err := s.out.Write(r.Value)
	s.records++
	return err
}

// Close writes the end of the snapshot. It does not close the underlying writer.
func (s *SnapshotWriter) Close() error {
	s.out.Write(binary.BigEndian.AppendUint64([]byte{0}, s.records))
	s.buffer.Write(s.sum.Sum(nil))
	return s.buffer.Flush()
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
func fill(db *bolt.DB, snapshot io.Reader) error {
	var step []Record
	size := 0
	write := func() error {
		size = 0
		return db.Update(func(tx *bolt.Tx) error {
			for _, r := range step {
				bucket := tx.Bucket(r.Bucket)
				bucket.FillPercent = 0.9 // the keys are sorted
				if err := bucket.Put(r.Key, Seal(r.Key, r.Value)); err != nil {
					return err
				}
			}
			step = nil
			return nil
		})
	}
	in, err := NewSnapshotReader(snapshot)
	if err != nil {
		return err
	}
	err = in.each(func(r Record) error {
		step = append(step, r)
		if size += recordOverhead + len(r.Key) + len(r.Value); size < stepBytes {
			return nil
		}
		return write()
	})
	if err == nil {
		err = write()
	}
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if found, err := VersionOf(tx); err != nil || found != in.version {
			return cmp.Or(err, errSnapshot)
		}
		return nil
	})
}

// Record is one record of a snapshot.
type Record struct{ Bucket, Key, Value []byte }

// ReadSnapshot calls f for each record of a snapshot. It fails as a SnapshotReader does, or
// with the first error of f.
func ReadSnapshot(snapshot io.Reader, f func(Record) error) error {
	r, err := NewSnapshotReader(snapshot)
	if err != nil {
		return err
	}
	return r.each(f)
}

// each calls f for each record that is left.
func (r *SnapshotReader) each(f func(Record) error) error {
	for {
		record, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(record)
		}
		if err != nil {
			return err
		}
	}
}

// SnapshotReader reads a snapshot record by record.
type SnapshotReader struct {
	buffer  *bufio.Reader
	sum     hash.Hash32
	in      io.Reader // from buffer to sum
	version byte
	records uint64
	last    Record
	bucket  byte // of last
}

// NewSnapshotReader returns a reader of a snapshot, of which it reads the beginning. The error
// is a *access.FormatError if the snapshot has a later format than this version reads.
func NewSnapshotReader(snapshot io.Reader) (*SnapshotReader, error) {
	r := &SnapshotReader{buffer: bufio.NewReaderSize(snapshot, 1<<16), sum: crc32.New(castagnoli)}
	r.in = io.TeeReader(r.buffer, r.sum)
	begin, err := readBytes(r.in, len(snapshotMagic)+1)
	if err != nil {
		return nil, err
	}
	r.version = begin[len(snapshotMagic)]
	if string(begin[:len(snapshotMagic)]) != snapshotMagic || r.version < formatVersion {
		return nil, errNoSnapshot
	}
	return r, checkVersion("the snapshot", r.version)
}

// Version returns the version of the snapshot; see VersionOf.
func (r *SnapshotReader) Version() byte { return r.version }

// Sworn reports whether the snapshot is of a sworn group.
func (r *SnapshotReader) Sworn() bool { return swornVersion(r.version) }

// Next returns the next record. It returns io.EOF when all of the snapshot is read and its
// checksum is right. The records that it returned before are worth nothing until then.
func (r *SnapshotReader) Next() (Record, error) {
	number, err := readBytes(r.in, 1)
	if err != nil {
		return Record{}, err
	}
	bucket := number[0]
	if bucket == 0 {
		return Record{}, r.end()
	}
	key, err := readPrefixed(r.in, bolt.MaxKeySize)
	if err != nil {
		return Record{}, err
	}
	value, err := readPrefixed(r.in, maxValue)
	if err != nil {
		return Record{}, err
	}
	last := plainBuckets
	if r.Sworn() {
		last = len(buckets)
	}
	order := cmp.Or(cmp.Compare(r.bucket, bucket), bytes.Compare(r.last.Key, key))
	if order >= 0 || int(bucket) > last || len(key) == 0 {
		return Record{}, errSnapshot
	}
	r.records, r.bucket, r.last = r.records+1, bucket, Record{buckets[bucket-1], key, value}
	return r.last, nil
}

// end reads the end of the snapshot, and returns io.EOF if it is right.
func (r *SnapshotReader) end() error {
	count, err := readBytes(r.in, 8)
	if err != nil {
		return err
	}
	want := r.sum.Sum(nil)
	got, err := readBytes(r.buffer, len(want))
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint64(count) != r.records || !bytes.Equal(got, want) {
		return errSnapshot
	}
	return io.EOF
}

// AtEnd returns an error if anything follows the snapshot, of which Next has returned the
// end.
func (r *SnapshotReader) AtEnd() error {
	_, err := r.buffer.ReadByte()
	switch err {
	case nil:
		return fmt.Errorf("%w: something follows its end", errSnapshot)
	case io.EOF:
		return nil
	}
	return err
}

// readPrefixed reads a length and as many bytes.
func readPrefixed(in io.Reader, limit uint32) ([]byte, error) {
	length, err := readBytes(in, 4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n > limit {
		return nil, errSnapshot
	}
	return readBytes(in, int(n))
}

// readBytes reads n bytes. A false n does not allocate much more memory than bytes have
// arrived.
func readBytes(in io.Reader, n int) ([]byte, error) {
	b := make([]byte, 0, min(n, 1<<16))
	for len(b) < n {
		b = slices.Grow(b, min(n-len(b), 1<<16))
		part := b[len(b):min(cap(b), n)]
		if _, err := io.ReadFull(in, part); err != nil {
			return nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		b = b[:len(b)+len(part)]
	}
	return b, nil
}
