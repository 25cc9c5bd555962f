package score

import "bytes"

// byteOrderMark may precede a text in UTF-8, in which it has no meaning.
var byteOrderMark = []byte("\uFEFF")

// TrimLine returns a line of events without white space around it and without a byte order
// mark, which the first line of a file may have, and with it any line of joined files.
func TrimLine(line []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(line, byteOrderMark), " \t\r\n")
}

// formats are the beginnings of what is posted by mistake in the place of JSON in UTF-8.
var formats = []struct{ begin, name string }{
	{"\xff\xfe", "UTF-16"},
	{"\xfe\xff", "UTF-16"},
	{"\x00\x00\xfe\xff", "UTF-32"},
	{"\x1f\x8b", "gzip"},
	{"PK\x03\x04", "ZIP"},
	{"\x28\xb5\x2f\xfd", "Zstandard"},
	{"\xfd7zXZ\x00", "xz"},
	{"BZh", "bzip2"},
}

// formatOf returns the format of a text, as far as its beginning shows it; "" if it may be
// UTF-8.
func formatOf(text []byte) string {
	for _, f := range formats {
		if bytes.HasPrefix(text, []byte(f.begin)) {
			return f.name
		}
	}
	// JSON begins with ASCII, which has a zero byte beside it in UTF-16.
	if len(text) > 1 && (text[0] == 0 || text[1] == 0) {
		return "UTF-16"
	}
	return ""
}

// textProblem returns a problem for an error that was met when text was read as JSON.
func textProblem(text []byte, err error) *Problem {
	if format := formatOf(text); format != "" {
		return fieldProblem("", "not valid JSON: the text is %s; want JSON in UTF-8", format)
	}
	return jsonProblem("", err)
}
