package database

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
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
// equal snapshots, byte for byte. The version of a sworn group is another one.
const (
	snapshotMagic = "LAURELSN" + string(rune(formatVersion))
	swornMagic    = "LAURELSN" + string(rune(swornVersion))
)

// maxValue is more than any record has. The largest is the access control: its limits in package
// access allow some 20 MB.
const maxValue = 64 << 20

var errSnapshot = errors.New("the snapshot is damaged, or was written by another version of laurel")

// WriteSnapshot writes a snapshot of the state that tx sees. It verifies the records'
// checksums, so a damaged database does not produce a snapshot.
func WriteSnapshot(tx *bolt.Tx, w io.Writer) error {
	sum := crc32.New(castagnoli)
	buffer := bufio.NewWriterSize(w, 1<<16) // keeps its first error
	out := io.MultiWriter(sum, buffer)
	magic := snapshotMagic
	if isSworn(tx) {
		magic = swornMagic
	}
	out.Write([]byte(magic))
	var scratch []byte
	records := uint64(0)
	for i, name := range buckets {
		c := tx.Bucket(name).Cursor()
		for k, sealed := c.First(); k != nil; k, sealed = c.Next() {
			v, err := Unseal(k, sealed)
			if err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
			scratch = append(scratch[:0], byte(i+1))
			scratch = binary.BigEndian.AppendUint32(scratch, uint32(len(k)))
			scratch = append(scratch, k...)
			scratch = binary.BigEndian.AppendUint32(scratch, uint32(len(v)))
			out.Write(scratch)
			if _, err := out.Write(v); err != nil {
				return err
			}
			records++
		}
	}
	out.Write(binary.BigEndian.AppendUint64([]byte{0}, records))
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
	err := ReadSnapshot(snapshot, func(r Record) error {
		step = append(step, r)
		if size += recordOverhead + len(r.Key) + len(r.Value); size < stepBytes {
			return nil
		}
		return write()
	})
	if err != nil {
		return err
	}
	return write()
}

// Record is one record of a snapshot.
type Record struct{ Bucket, Key, Value []byte }

// ReadSnapshot calls f for each record of a snapshot. It fails if the snapshot is
// damaged, or with the first error of f.
func ReadSnapshot(snapshot io.Reader, f func(Record) error) error {
	buffer, sum := bufio.NewReaderSize(snapshot, 1<<16), crc32.New(castagnoli)
	in := io.TeeReader(buffer, sum)
	magic, err := readBytes(in, len(snapshotMagic))
	if err != nil || string(magic) != snapshotMagic && string(magic) != swornMagic {
		return errSnapshot
	}
	last := len(buckets)
	if string(magic) == snapshotMagic {
		last = plainBuckets
	}
	records, lastBucket, lastKey := uint64(0), byte(0), []byte(nil)
	for {
		number, err := readBytes(in, 1)
		if err != nil {
			return err
		}
		bucket := number[0]
		if bucket == 0 {
			break
		}
		key, err := readPrefixed(in, bolt.MaxKeySize)
		if err != nil {
			return err
		}
		value, err := readPrefixed(in, maxValue)
		if err != nil {
			return err
		}
		order := cmp.Or(cmp.Compare(lastBucket, bucket), bytes.Compare(lastKey, key))
		if order >= 0 || int(bucket) > last || len(key) == 0 {
			return errSnapshot
		}
		if err := f(Record{buckets[bucket-1], key, value}); err != nil {
			return err
		}
		records, lastBucket, lastKey = records+1, bucket, key
	}
	count, err := readBytes(in, 8)
	if err != nil || binary.BigEndian.Uint64(count) != records {
		return errSnapshot
	}
	want := sum.Sum(nil)
	got, err := readBytes(buffer, len(want))
	if err != nil || !bytes.Equal(got, want) {
		return errSnapshot
	}
	return nil
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
