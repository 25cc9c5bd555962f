package main

import (
	"bytes"
	"fmt"
)

// wholeAnswer reads an answer, if all of it is there. Its body is valid as long as data.
func wholeAnswer(data []byte) (a answer, whole bool, err error) {
	head := bytes.Index(data, []byte("\r\n\r\n"))
	if head < 0 {
		if len(data) >= maxAnswer {
			return a, false, fmt.Errorf("longer than %d bytes", maxAnswer)
		}
		return a, false, nil
	}
	length, err := a.readHead(data[:head])
	if err != nil {
		return a, false, err
	}
	switch end := head + 4 + length; {
	case len(data) < end:
		return a, false, nil
	case len(data) > end:
		return a, false, fmt.Errorf("%d bytes more than its Content-Length", len(data)-end)
	default:
		a.body = data[head+4:]
		return a, true, nil
	}
}
