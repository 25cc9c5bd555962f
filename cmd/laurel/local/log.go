package local

import (
	"bytes"
	"io"
	"os"
)

// LogEnd is the last lines of a log, to be shown with an error: few enough for a terminal. A log that cannot be read says why.
func LogEnd(path string) string {
	const most, lines = 8 << 10, 12
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd) // if not, the beginning has to do
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
