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
	file *os.File // holds the lock
	path string
}

// own has the names of the pid files of this process. It must not open them a second
// time: the lock belongs to the process, and closing any descriptor of the file releases
// it.
var own sync.Map

// Register writes a pid file for this process. It sets e.PID. The file exists until
// Close. If the process ends without Close, the lock is released, and others remove the
// file.
func Register(dir string, e Entry) (*Registration, error) {
	e.PID = os.Getpid()
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	// Another process may remove the directory together with its last file.
	for try := 0; ; try++ {
		r, err := write(dir, e, append(body, '\n'))
		removed := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
		if !removed || try == 100 {
			return r, err
		}
	}
}

func write(dir string, e Entry, body []byte) (r *Registration, err error) {
	if err := prepare(dir); err != nil {
		return nil, err
	}
	// The name is used only once, so that a file without a lock can be removed by its
	// name.
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
	own.Store(name, nil)
	// The file gets its name when it is complete and locked. Before, its process would
	// seem dead.
	path := filepath.Join(dir, name)
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, fmt.Errorf("rename the pid file: %w", err)
	}
	return &Registration{f, path}, nil
}

// Close removes the pid file, and the directory with the last one.
func (r *Registration) Close() {
	os.Remove(r.path)
	r.file.Close()
	own.Delete(filepath.Base(r.path))
	os.Remove(filepath.Dir(r.path)) // fails while there is another
}

// Lock locks a file, which it makes if necessary, until unlock is called or this process
// ends. It fails if another process holds the lock.
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
