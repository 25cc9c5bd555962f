// Package archive has the form of snapshot files: a gzip file with the snapshot of a store,
// whose header has the time at which it was taken, as gzip stores it and, because no
// checksum covers that, as text in the comment.
//
// A file is verified while it is read, to its last byte. What a [Reader] has given is worth
// nothing before it returns io.EOF.
package archive

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Type is the media type of a snapshot file.
const Type = "application/gzip"

// maxSize bounds a snapshot, in bytes: it is what the database of a store can have. A file
// of few bytes can say that it has more, and one without end that it has nothing. So it
// bounds a file as well, with overhead for what cannot be compressed.
const (
	maxSize  = 16 << 30
	overhead = maxSize/1000 + 1<<16
)

// Write writes a snapshot file. snapshot writes the snapshot itself. The time is stored
// to the second; it must not be before 1970.
func Write(w io.Writer, at time.Time, snapshot func(io.Writer) error) error {
	// Better compression takes several times as long, of a processor that posts need.
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	z.ModTime, z.Comment = at, comment(at)
	if err := snapshot(z); err != nil {
		return err
	}
	return z.Close()
}

func comment(at time.Time) string { return "laurel snapshot " + at.UTC().Format(time.RFC3339) }

// The reasons for which a file is refused, besides those of a snapshot that is damaged.
var (
	errForeign   = errors.New("this is no snapshot file: it is not compressed by gzip")
	errTruncated = errors.New("the file is truncated")
	errDamaged   = errors.New("the file is damaged")
	errHeader    = errors.New("the file is damaged, or no snapshot file: its header does not say when it was taken")
	errTrailing  = errors.New("the file is damaged: something follows its end")
	errTooLarge  = fmt.Errorf("the file, or the snapshot in it, has more than %d GiB, "+
		"which is more than a store can have", maxSize>>30)
)

// Reader reads the snapshot in a file.
type Reader struct {
	file *bufio.Reader
	zip  *gzip.Reader
	sum  hash.Hash
	size int64
	most int64 // maxSize, but less in a test
	left int64 // bytes of the file that may still be read
	err  error
}

// bounded reads a file, of which so many bytes are left.
type bounded struct {
	file io.Reader
	left *int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if *b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.file.Read(p)
	*b.left -= int64(n)
	return n, err
}

// NewReader returns a reader of the snapshot in a file, of which it reads the beginning.
func NewReader(file io.Reader) (*Reader, error) {
	r := &Reader{sum: sha256.New(), most: maxSize, left: maxSize + overhead}
	r.file = bufio.NewReaderSize(&bounded{file, &r.left}, 1<<16)
	var err error
	if r.zip, err = gzip.NewReader(r.file); err != nil {
		return nil, reason(err, errForeign)
	}
	r.zip.Multistream(false)
	if r.zip.Comment != comment(r.zip.ModTime) {
		return nil, errHeader
	}
	return r, nil
}

// reason returns why a file cannot be read: err is gzip's or the file's own error, and bad what
// it means if gzip does not take the file.
func reason(err, bad error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errTruncated
	case errors.Is(err, gzip.ErrHeader):
		return bad
	case errors.Is(err, gzip.ErrChecksum), isCorrupt(err):
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return fmt.Errorf("read the file: %w", err)
}

// Time returns when the snapshot was taken, in UTC.
func (r *Reader) Time() time.Time { return r.zip.ModTime.UTC() }

// Read reads the snapshot. It returns io.EOF when the checksum of the file is right and
// nothing follows it.
func (r *Reader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.zip.Read(b)
	r.sum.Write(b[:n])
	r.size += int64(n)
	switch {
	case r.size > r.most:
		err = errTooLarge
	case err == io.EOF:
		err = r.end()
	case err != nil:
		err = reason(err, errDamaged)
	}
	r.err = err
	return n, err
}

// end returns io.EOF if nothing follows in the file.
func (r *Reader) end() error {
	_, err := r.file.ReadByte()
	if err == nil {
		return errTrailing
	}
	return err
}

// Digest returns the SHA-256 of what was read of the snapshot. Equal states have equal
// snapshots.
func (r *Reader) Digest() (sum [sha256.Size]byte) {
	r.sum.Sum(sum[:0])
	return sum
}

// Size returns the number of bytes that were read of the snapshot.
func (r *Reader) Size() int64 { return r.size }
