package fastpath

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// AppendStatus appends the status line of an answer to dst.
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

// AppendEnd appends the header fields of the connection and the end of the head.
func (r *Request) AppendEnd(dst []byte) []byte {
	dst = append(dst, "Date: "...)
	dst = append(dst, formatDate(time.Now())...)
	if r.closing != nil && r.closing.Load() {
		r.last = true
		dst = append(dst, "\r\nConnection: close"...)
	}
	return append(dst, "\r\n\r\n"...)
}

// httpDate is a second formatted for the header field Date.
type httpDate struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[httpDate]

func formatDate(now time.Time) string {
	d := lastDate.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &httpDate{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return d.text
}
