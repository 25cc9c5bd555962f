package score

import (
	"bytes"

	"laurel/score/quote"
)

// byteOrderMark may precede a text in UTF-8, in which it has no meaning.
var byteOrderMark = []byte("\uFEFF")

// TrimLine returns a line of events without white space around it and without a byte order
// mark, which the first line of a file may have, and with it any line of joined files.
func TrimLine(line []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(line, byteOrderMark), " \t\r\n")
}

// textProblem returns a problem for an error that was met when text was read as JSON.
func textProblem(text []byte, err error) *Problem {
	if format := quote.FormatOf(text); format != "" {
		return fieldProblem("", "not valid JSON: the text is %s; want JSON in UTF-8", format)
	}
	return jsonProblem("", err)
}
