package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Credentials are the keys of somebody who may use a bucket.
type Credentials struct {
	AccessKey string // the public id of the key
	Secret    string
	Session   string // the token of temporary credentials; "" for others
}

// emptySum is the SHA-256 of no bytes.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// The headers that Sign sets.
const (
	headerDate    = "X-Amz-Date"
	headerSum     = "X-Amz-Content-Sha256"
	headerSession = "X-Amz-Security-Token"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeLayout = "20060102T150405Z"
	service    = "s3"
)

// Sign signs a request for S3 by AWS Signature Version 4: its method, its URL, all of its
// headers, and the sum of its body, which is the SHA-256 in hexadecimal digits. It sets the
// headers of the time, of the sum and of the signature. The path of the URL must be encoded
// as escape does, and a header that is signed must not be changed afterwards.
func Sign(r *http.Request, sum, region string, c Credentials, now time.Time) {
	now = now.UTC()
	r.Header.Set(headerDate, now.Format(timeLayout))
	r.Header.Set(headerSum, sum)
	if c.Session != "" {
		r.Header.Set(headerSession, c.Session)
	}
	scope := strings.Join([]string{now.Format("20060102"), region, service, "aws4_request"}, "/")
	canonical, signed := canonicalRequest(r, sum)
	digest := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{algorithm, now.Format(timeLayout), scope, hex.EncodeToString(digest[:])}, "\n")
	key := []byte("AWS4" + c.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", algorithm+" Credential="+c.AccessKey+"/"+scope+",SignedHeaders="+signed+
		",Signature="+hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonicalRequest returns what a signature covers, and the names of the headers in it.
func canonicalRequest(r *http.Request, sum string) (text, signed string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	values := map[string]string{"host": host}
	names := []string{"host"}
	for name, list := range r.Header {
		name = strings.ToLower(name)
		values[name] = strings.Join(strings.Fields(strings.Join(list, ",")), " ")
		names = append(names, name)
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, name := range names {
		headers.WriteString(name + ":" + values[name] + "\n")
	}
	signed = strings.Join(names, ";")
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	lines := []string{r.Method, path, canonicalQuery(r.URL.Query()), headers.String(), signed, sum}
	return strings.Join(lines, "\n"), signed
}

// canonicalQuery encodes a query as a signature has it: sorted, with %20 for a blank.
func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, v := range values {
			pairs = append(pairs, escape(name, false)+"="+escape(v, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape encodes all bytes but those that RFC 3986 does not reserve. Slashes are kept in a
// path.
func escape(s string, path bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 ||
			path && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}
