package forming

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"laurel/trust/pki"
)

// recordFile, in the data directory, has what the frontend has promised while the group was
// forming. It means nothing once there are data.
const recordFile = "forming.json"

// record is what a frontend must not forget.
type record struct {
	For      string `json:"for,omitzero"`      // see Hello
	Founding bool   `json:"founding,omitzero"` // it is to found: all have left that to it
}

func readRecord(dir string) (r record, err error) {
	path := filepath.Join(dir, recordFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read %s: %w; if this frontend was never in a group, empty %s", path, err, dir)
	}
	return r, nil
}

func (r record) write(dir string) error {
	text, err := json.Marshal(r)
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, recordFile), text)
	}
	if err != nil {
		return fmt.Errorf("store which frontend makes the group: %w", err)
	}
	return nil
}
