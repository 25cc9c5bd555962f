package pidfile

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

const suffix = ".pid"

// Registration is the pid file of this process.
type Registration struct {
	file *os.File // has the lock
	path string
}

// mine has the names of this process's own pid files. It must not open them a second time: the lock is the process's, and goes with the
// first descriptor of the file that is closed.
var mine sync.Map

// Register writes a pid file for this process. e.PID is filled in. The file is there until Close; if the process ends without, its lock
// is gone, and others take the file away.
func Register(dir string, e Entry) (*Registration, error) {
	e.PID = os.Getpid()
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	// Another process may take the directory away with its own last file.
	for try := 0; ; try++ {
		r, err := write(dir, e, append(body, '\n'))
		taken := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
		if !taken || try == 100 {
			return r, err
		}
	}
}

func write(dir string, e Entry, body []byte) (r *Registration, err error) {
	if err := prepare(dir); err != nil {
		return nil, err
	}
	// The name is used once and never again, so whoever finds the file without a lock may remove it by its name.
	id := url.PathEscape(e.ID)
	f, err := os.CreateTemp(dir, "."+e.Kind+"-"+id[:min(len(id), 64)]+"-*")
	if err != nil {
		return nil, fmt.Errorf("write a pid file: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := lock(f); err != nil {
		return nil, fmt.Errorf("lock the pid file: %w", err)
	}
	if _, err := f.Write(body); err != nil {
		return nil, fmt.Errorf("write the pid file: %w", err)
	}
	name := strings.TrimPrefix(filepath.Base(f.Name()), ".") + suffix
	mine.Store(name, nil)
	// It gets its name when it is whole and locked: before, it would look as if its process were dead.
	path := filepath.Join(dir, name)
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, fmt.Errorf("name the pid file: %w", err)
	}
	return &Registration{f, path}, nil
}

// Close takes the pid file away, and the directory with the last.
func (r *Registration) Close() {
	os.Remove(r.path)
	r.file.Close()
	mine.Delete(filepath.Base(r.path))
	os.Remove(filepath.Dir(r.path)) // fails while there is another
}

// Lock takes the lock of a file, which is made and stays, until unlock is called or this process ends. It does not wait.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
