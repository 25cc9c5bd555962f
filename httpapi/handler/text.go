package handler

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"laurel/cache/queries"
)

// WantsText reports whether the client prefers text/plain to JSON. Text must be named:
// */* means JSON.
func (r *Request) WantsText() bool {
	var text, other float64
	for _, list := range r.Accept {
		for one := range strings.SplitSeq(list, ",") {
			mediaType, params, _ := strings.Cut(one, ";")
			switch strings.ToLower(strings.TrimSpace(mediaType)) {
			case "text/plain", "text/*":
				text = max(text, quality(params))
			case TypeJSON, "application/*", "*/*":
				other = max(other, quality(params))
			}
		}
	}
	return text > 0 && text >= other
}

// AcceptsHTML reports whether the client is a browser.
func (r *Request) AcceptsHTML() bool {
	return len(r.Accept) > 0 && strings.Contains(r.Accept[0], "text/html")
}

func quality(params string) float64 {
	for one := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}

// Result returns an answer about the frontend or the group, which has no revision: value
// as JSON, or what text writes for a client that prefers text.
func (r *Request) Result(value any, text func(*bytes.Buffer)) (Response, error) {
	a := Response{CacheControl: "no-store", VaryAccept: true}
	if r.WantsText() {
		var b bytes.Buffer
		text(&b)
		a.Type, a.Body = TypeText, b.Bytes()
		return a, nil
	}
	var err error
	a.Type = TypeJSON
	a.Body, err = queries.Encode(value)
	return a, err
}

// NextText tells how to get the next page, for users of the command line and of URLs.
func NextText(b *bytes.Buffer, next string) {
	if next != "" {
		fmt.Fprintf(b, "\nmore: --after %s, or after=%[1]s in the URL\n", next)
	}
}
