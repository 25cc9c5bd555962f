package standing

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/pki"
	"laurel/witness"
)

// In the data directory, putOutFile has the standings that a restart must not forget, and
// evidenceDir the notes that convict a frontend, in NAME.txt. Anybody can check those by
// witness.Evidence, after witness.SplitNotes.
const (
	putOutFile  = "putout.json"
	evidenceDir = "evidence"
)

// lasting reports whether a standing must outlive the process.
func (s *Standing) lasting() bool { return s.Shunned || s.Reason == witness.Split }

// record is the content of putOutFile.
type record struct {
	PutOut []Standing `json:"put_out"`
	Doubt  doubt      `json:"doubt,omitzero"`
}

// doubt is who may have misled others when no quorum could agree.
type doubt struct {
	Since    time.Time `json:"since"` // the last time
	Suspects []string  `json:"suspects"`
}

// write writes what must outlive the process, and the evidence.
func write(dir string, standings map[string]Standing, d doubt) error {
	lasting := []Standing{}
	for _, s := range sorted(standings) {
		if !s.lasting() {
			continue
		}
		if len(s.notes) > 0 {
			path := filepath.Join(dir, evidenceDir)
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			err := pki.WritePrivateFile(filepath.Join(path, s.Frontend+".txt"), witness.JoinNotes(s.notes...))
			if err != nil {
				return err
			}
		}
		lasting = append(lasting, s)
	}
	b, err := json.Marshal(record{lasting, d})
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, putOutFile), b)
	}
	return err
}

// read reads what was written. A damaged file is set aside.
func read(dir string) (standings map[string]Standing, d doubt, err error) {
	standings = map[string]Standing{}
	path := filepath.Join(dir, putOutFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return standings, d, nil
	}
	var r record
	if err == nil {
		if err = json.Unmarshal(b, &r); err != nil {
			err = errors.Join(err, os.Rename(path, path+".damaged"))
		}
	}
	if err != nil {
		return standings, d, fmt.Errorf("read %s: %w", path, err)
	}
	for _, s := range r.PutOut {
		standings[s.Frontend] = s
	}
	return standings, r.Doubt, nil
}

// readEvidence reads the notes against frontends, which need not convict them. Files that are
// not those of two notes are left out.
func readEvidence(dir string) (map[string]*evidence, error) {
	found := map[string]*evidence{}
	files, err := filepath.Glob(filepath.Join(dir, evidenceDir, "*.txt"))
	for _, path := range files {
		b, err2 := os.ReadFile(path)
		if notes := witness.SplitNotes(b); err2 == nil && len(notes) == 2 {
			found[strings.TrimSuffix(filepath.Base(path), ".txt")] = &evidence{notes: notes}
		} else {
			err = errors.Join(err, cmp.Or(err2, fmt.Errorf("%s has %d signed notes, not two", path, len(notes))))
		}
	}
	return found, err
}
