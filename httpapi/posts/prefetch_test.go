package posts

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// deadlineWriter remembers the read deadline of a request.
type deadlineWriter struct {
	http.ResponseWriter
	read time.Time
}

func (w *deadlineWriter) SetReadDeadline(t time.Time) error {
	w.read = t
	return nil
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// With HTTP/2 a deadline that passes while events wait to be posted ends the stream.
func TestAStreamHasAReadDeadlineOnlyWhileItIsRead(t *testing.T) {
	w := &deadlineWriter{}
	answers := []error{nil, nil, io.EOF}
	body := readerFunc(func(b []byte) (n int, err error) {
		if w.read.IsZero() {
			t.Error("the body is read without a deadline")
		}
		err, answers = answers[0], answers[1:]
		return copy(b, "\n"), err
	})
	a := newPrefetcher(t.Context(), http.NewResponseController(w), body, time.Minute)
	for range len(answers) {
		if _, err := a.Read(make([]byte, 10)); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !w.read.IsZero() {
			t.Errorf("the deadline %s is left behind", w.read)
		}
	}
}
