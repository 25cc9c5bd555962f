// Package fakes3 is a bucket of S3 in memory, for tests. It verifies the signature of each
// request by itself, apart from package backup/s3.
package fakes3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The bucket and the credentials that it accepts.
const (
	Name      = "games"
	Region    = "eu-north-1"
	AccessKey = "AKIDBARD"
	Secret    = "cacofonix sings"
)

// maxBody bounds an object, in bytes.
const maxBody = 64 << 20

// Bucket is an http.Handler for one bucket, named in the path. It is safe for concurrent use.
type Bucket struct {
	// PageSize is the most objects of one answer to a listing; 0 means 1,000.
	PageSize int
	// Refuse lists the methods that are answered with 403.
	Refuse []string
	// Session is the token that requests must have, if it is not empty.
	Session string
	// Hang, if it is not nil, is called before each object is stored.
	Hang func(r *http.Request)

	mu      sync.Mutex
	objects map[string][]byte
	wrong   []string // why requests were refused that were not signed rightly
}

// Object returns the content of an object, nil if there is none.
func (b *Bucket) Object(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[key]
}

// Keys returns the keys of all objects, sorted.
func (b *Bucket) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

// Set stores an object.
func (b *Bucket) Set(key string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects == nil {
		b.objects = map[string][]byte{}
	}
	b.objects[key] = content
}

// Wrong returns why requests were refused that were not signed rightly.
func (b *Bucket) Wrong() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wrong
}

func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if slices.Contains(b.Refuse, r.Method) {
		refuse(w, http.StatusForbidden, "AccessDenied", "not allowed")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return
	}
	if r.Method == http.MethodPut && b.Hang != nil {
		b.Hang(r)
	}
	if err := b.verify(r, body, time.Now()); err != nil {
		b.mu.Lock()
		b.wrong = append(b.wrong, err.Error())
		b.mu.Unlock()
		refuse(w, http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/"+Name+"/")
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "NoSuchBucket", "there is only "+Name)
	case r.Method == http.MethodPut:
		b.Set(key, body)
	case r.Method == http.MethodDelete:
		b.mu.Lock()
		delete(b.objects, key)
		b.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && key == "" && r.FormValue("list-type") == "2":
		b.list(w, r.FormValue("prefix"), r.FormValue("continuation-token"))
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method+" "+r.URL.String())
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: message})
}

func (b *Bucket) list(w io.Writer, prefix, after string) {
	type object struct{ Key string }
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []object
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
	}
	size := b.PageSize
	if size == 0 {
		size = 1000
	}
	for _, key := range b.Keys() {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if len(page.Contents) == size {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[size-1].Key
			break
		}
		page.Contents = append(page.Contents, object{key})
	}
	_ = xml.NewEncoder(w).Encode(page)
}

// verify returns what is wrong with the signature of a request.
func (b *Bucket) verify(r *http.Request, body []byte, now time.Time) error {
	sum := sha256.Sum256(body)
	if got := r.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("the sum of the body is %x, not %s", sum, got)
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || now.Sub(at).Abs() > 15*time.Minute {
		return fmt.Errorf("the time is %s", r.Header.Get("X-Amz-Date"))
	}
	if got := r.Header.Get("X-Amz-Security-Token"); got != b.Session {
		return fmt.Errorf("the session is %q", got)
	}
	scope := at.Format("20060102") + "/" + Region + "/s3/aws4_request"
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"),
		"AWS4-HMAC-SHA256 Credential="+AccessKey+"/"+scope+",SignedHeaders=")
	names, signature, found := strings.Cut(rest, ",Signature=")
	if !ok || !found {
		return fmt.Errorf("the authorization is %q", r.Header.Get("Authorization"))
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	pairs := strings.Split(query, "&")
	slices.Sort(pairs)
	canonical := r.Method + "\n" + path + "\n" + strings.Join(pairs, "&") + "\n"
	for name := range strings.SplitSeq(names, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + value + "\n"
	}
	for _, must := range []string{"host", "x-amz-content-sha256", "x-amz-date"} {
		if !slices.Contains(strings.Split(names, ";"), must) {
			return fmt.Errorf("the header %s is not signed", must)
		}
	}
	canonical += "\n" + names + "\n" + hex.EncodeToString(sum[:])
	digest := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + Secret)
	text := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", r.Header.Get("X-Amz-Date"), scope, digest)
	for _, part := range append(strings.Split(scope, "/"), text) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	if hex.EncodeToString(key) != signature {
		return fmt.Errorf("the signature of %q is %x, not %s", canonical, key, signature)
	}
	return nil
}
