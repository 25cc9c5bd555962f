package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

// A file of some MB could fill a disk.
func TestASnapshotOfMoreThanAStoreCanHaveIsNotReadFurther(t *testing.T) {
	var file bytes.Buffer
	err := Write(&file, time.Unix(1, 0), func(w io.Writer) error {
		_, err := w.Write(make([]byte, 1<<20))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	r.most = 1000
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, errTooLarge) || n > 1<<16 {
		t.Errorf("%d bytes were read: %v", n, err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errTooLarge) {
		t.Errorf("the reader goes on: %v", err)
	}
}

// blocks are blocks of a compressed stream without end, and without content.
type blocks struct{ read int64 }

func (b *blocks) Read(p []byte) (int, error) {
	block := [...]byte{0, 0, 0, 0xff, 0xff} // not the last one, stored, 0 bytes
	for i := range p {
		p[i] = block[(b.read+int64(i))%int64(len(block))]
	}
	b.read += int64(len(p))
	return len(p), nil
}

// A frontend that answers so could fill the disk on which the answer is saved.
func TestAFileWithoutEndAndContentIsNotReadFurther(t *testing.T) {
	at := time.Unix(1, 0)
	var file bytes.Buffer
	if err := Write(&file, at, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	header := file.Bytes()[:10+len(comment(at))+1]
	endless := new(blocks)
	r, err := NewReader(io.MultiReader(bytes.NewReader(header), io.LimitReader(endless, 8<<20)))
	if err != nil {
		t.Fatal(err)
	}
	r.left = 1 << 20
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, errTooLarge) || n > 0 || endless.read > 2<<20 {
		t.Errorf("%d bytes of the snapshot, %d of the file were read: %v", n, endless.read, err)
	}
}
