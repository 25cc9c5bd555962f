package cli

import (
	"io"
	"os"

	"golang.org/x/term"

	"laurel/internal/textfmt"
)

// printer is the output of a command. Names, texts and errors come from frontends and
// bards that may be anybody, so it escapes what would make a terminal do something.
type printer struct{ io.Writer }

func (p printer) Write(b []byte) (int, error) {
	if _, err := p.Writer.Write(textfmt.Escape(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Verbatim returns the output of a command whose bytes must stay as they are, because they
// are a file for another program. On a terminal they are escaped all the same.
func Verbatim(out io.Writer) io.Writer {
	if p, escapes := out.(printer); escapes {
		if _, shown := Terminal(out); !shown {
			return p.Writer
		}
	}
	return out
}

// Terminal returns the terminal to which the output of a command goes, if it is one.
// Whoever writes to it draws: nothing is escaped there.
func Terminal(out io.Writer) (f *os.File, ok bool) {
	if p, escapes := out.(printer); escapes {
		out = p.Writer
	}
	f, ok = out.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}
