package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"laurel/backup/s3"
)

// Target keeps files. Its methods are called one at a time.
type Target interface {
	// Put stores the file that write writes, and that has the name that write returns. The
	// file is there whole or not at all. Put returns its size in bytes.
	Put(ctx context.Context, write func(io.Writer) (name string, err error)) (size int64, err error)
	// List returns the names that begin with a text. The error is errors.ErrUnsupported if
	// the target refuses to list.
	List(ctx context.Context, beginning string) ([]string, error)
	// Delete deletes a file. The error is errors.ErrUnsupported if the target refuses to
	// delete.
	Delete(ctx context.Context, name string) error
	// String returns where the files are, without what is secret.
	String() string
}

// unfinished is the beginning of the name of a file that is being written.
const unfinished = ".laurel-backup-"

// writeFile makes a file in dir with what write writes. The caller must remove it if there
// is no error.
func writeFile(dir string, write func(io.Writer) (string, error)) (f *os.File, name string, size int64, err error) {
	if f, err = os.CreateTemp(dir, unfinished); err != nil { // only the owner may read it
		return nil, "", 0, err
	}
	name, err = write(f)
	if err == nil {
		size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, "", 0, err
	}
	return f, name, size, nil
}

// abandoned is the age of a file that nobody is writing any more.
const abandoned = 24 * time.Hour

// removeUnfinished removes files that processes have left that ended while they wrote. Another
// frontend may be writing one to the same directory, so they must be of a certain age.
func removeUnfinished(dir string, age time.Duration) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), unfinished) {
			continue
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) >= age {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}

// directory is a target on a file system.
type directory string

func (d directory) String() string { return "file://" + string(d) }

func (d directory) Put(_ context.Context, write func(io.Writer) (string, error)) (int64, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return 0, err
	}
	removeUnfinished(string(d), abandoned)
	f, name, size, err := writeFile(string(d), write)
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) // after the rename there is no such file
	err = errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(string(d), name))
	}
	if err == nil {
		err = d.sync()
	}
	return size, err
}

// sync waits until the names in the directory are on the disk.
func (d directory) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) List(_ context.Context, beginning string) (names []string, err error) {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // Put makes it
	}
	if err != nil {
		return nil, refused(err, os.ErrPermission)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), beginning) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d directory) Delete(_ context.Context, name string) error {
	return refused(os.Remove(filepath.Join(string(d), name)), os.ErrPermission)
}

// refused adds errors.ErrUnsupported to an error that is one of denial.
func refused(err, denial error) error {
	if err != nil && errors.Is(err, denial) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

// bucket is a target that speaks S3.
type bucket struct {
	name    string
	objects *s3.Bucket
	spool   string // the directory of files before they are sent
}

func (b *bucket) String() string { return b.name }

// Put writes the file to the disk first, because a signature covers its sum, and because the
// snapshot must not wait for the network.
func (b *bucket) Put(ctx context.Context, write func(io.Writer) (string, error)) (int64, error) {
	removeUnfinished(b.spool, 0) // the directory is of this process alone
	sum := sha256.New()
	f, name, size, err := writeFile(b.spool, func(w io.Writer) (string, error) { return write(io.MultiWriter(w, sum)) })
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return size, b.objects.Put(ctx, name, f, size, hex.EncodeToString(sum.Sum(nil)))
}

func (b *bucket) List(ctx context.Context, beginning string) ([]string, error) {
	names, err := b.objects.List(ctx, beginning)
	return names, denied(err)
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	return denied(b.objects.Delete(ctx, name))
}

func denied(err error) error {
	if _, is := errors.AsType[*s3.DeniedError](err); is {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}
