package score

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"
)

// ExportHeader is the first line of a file of exported events. The events follow, one in a
// line, in the order of their revisions.
type ExportHeader struct {
	Format int `json:"laurel_export"` // ExportFormat; the first member, by which the line is known
	// Lineage is that of the store, which the signatures name.
	Lineage     string `json:"lineage"`
	Incarnation string `json:"incarnation"`
	Revision    uint64 `json:"revision"`             // of the store
	Competition string `json:"competition,omitzero"` // the only one that was exported
	Events      uint64 `json:"events"`
	Signed      uint64 `json:"signed"` // events with a signature
	// Incomplete says why the events make no store, "" if they do.
	Incomplete string `json:"incomplete,omitzero"`
}

// ExportFormat is the number of the format of exported files.
const ExportFormat = 1

var exportBegin = []byte(`{"laurel_export":`)

// IsExportHeader reports whether a line, or the beginning of one, is an ExportHeader.
func IsExportHeader(line []byte) bool { return bytes.HasPrefix(line, exportBegin) }

// ParseExportHeader parses the first line of a file of exported events.
func ParseExportHeader(line []byte) (h ExportHeader, err error) {
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("the first line of the export: %w", err)
	}
	if h.Format != ExportFormat {
		return h, fmt.Errorf("the export has the format %d, and this version knows %d", h.Format, ExportFormat)
	}
	if !ValidLineage(h.Lineage) {
		return h, fmt.Errorf("the export names no store: its lineage is %.40q", h.Lineage)
	}
	return h, nil
}
