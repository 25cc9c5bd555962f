package main

import (
	"context"
	"fmt"

	"laurel/client"
	"laurel/score"
)

// headerSize is the number of bytes by which the first line of exported events is known.
const headerSize = len(`{"laurel_export":`)

// readHeader reads the first line of the input if it is that of exported events.
func (in *input) readHeader() error {
	if begin, _ := in.in.Peek(headerSize); !score.IsExportHeader(begin) {
		return nil
	}
	line, err := in.readLine()
	if err != nil {
		return fmt.Errorf("read the first line of the export: %w", err)
	}
	in.number++
	h, err := score.ParseExportHeader(line)
	if err == nil {
		in.exported = &h
	}
	return err
}

// checkExport returns why exported events cannot be posted to the store of c. Those that are
// signed were signed for one lineage, and a store that has only some of the events answers
// otherwise than the first one did.
func checkExport(ctx context.Context, h *score.ExportHeader, c *client.Client) error {
	if h.Incomplete != "" {
		return fmt.Errorf("these exported events make no store: %s", h.Incomplete)
	}
	lineage, err := c.Lineage(ctx)
	if err != nil {
		return err
	}
	if lineage != h.Lineage {
		return fmt.Errorf("the events were exported from the store %s, whose name their signatures have, "+
			"and this is the store %s; make one for them with laurel frontend --bootstrap --lineage %s",
			h.Lineage, lineage, h.Lineage)
	}
	return nil
}
