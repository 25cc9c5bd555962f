package fastpath

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// AppendStatus appends the status line of an answer.
func AppendStatus(dst []byte, status int) []byte {
	if status == http.StatusOK {
		return append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	return append(dst, "\r\n"...)
}

// AppendEnd appends the fields that are the connection's affair, and the end of the head.
func (r *Request) AppendEnd(dst []byte) []byte {
	dst = append(dst, "Date: "...)
	dst = append(dst, dateOf(time.Now())...)
	if r.closing != nil && r.closing.Load() {
		r.last = true
		dst = append(dst, "\r\nConnection: close"...)
	}
	return append(dst, "\r\n\r\n"...)
}

// date is a second as HTTP writes it.
type date struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[date]

func dateOf(now time.Time) string {
	d := lastDate.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &date{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return d.text
}
