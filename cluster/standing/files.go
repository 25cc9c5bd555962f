package standing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// write writes the standings that must outlive the process, and the evidence.
func write(dir string, standings map[string]Standing) error {
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
	b, err := json.Marshal(lasting)
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, putOutFile), b)
	}
	return err
}

// read reads the standings that were written.
func read(dir string) (map[string]Standing, error) {
	standings := map[string]Standing{}
	path := filepath.Join(dir, putOutFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return standings, nil
	}
	var list []Standing
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return standings, fmt.Errorf("read %s: %w", path, err)
	}
	for _, s := range list {
		standings[s.Frontend] = s
	}
	return standings, nil
}
