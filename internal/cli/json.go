package cli

import (
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// WriteJSON writes a value for --json: indented, with a newline at the end.
func WriteJSON(out io.Writer, value any) error {
	b, err := json.Marshal(value, jsontext.WithIndent("  "), json.Deterministic(true))
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n", b)
	}
	return err
}
