package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"laurel/internal/fakes3"
)

// serve returns a bucket of a fake service, below the prefix "a b/ü/".
func serve(t *testing.T, h http.Handler, c Credentials) *Bucket {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	base, err := url.Parse(s.URL + "/" + fakes3.Name)
	if err != nil {
		t.Fatal(err)
	}
	return &Bucket{Base: base, Region: fakes3.Region, Prefix: "a b/ü/", Credentials: func() (Credentials, error) { return c, nil }}
}

func put(b *Bucket, name, content string) error {
	sum := sha256.Sum256([]byte(content))
	return b.Put(context.Background(), name, strings.NewReader(content), int64(len(content)), hex.EncodeToString(sum[:]))
}

var valid = Credentials{AccessKey: fakes3.AccessKey, Secret: fakes3.Secret, Session: "s+/="}

func TestObjectsAreStoredListedAndDeletedWithValidSignatures(t *testing.T) {
	fake := &fakes3.Bucket{PageSize: 2, Session: valid.Session}
	b, ctx := serve(t, fake, valid), t.Context()
	for i, content := range []string{"", "one", strings.Repeat("two", 1<<20), "$&+,/:;=?@"} {
		if err := put(b, fmt.Sprint("x$-+~", i), content); err != nil {
			t.Fatal(err, fake.Wrong())
		}
	}
	fake.Set("a b/ü/y", nil)
	fake.Set("elsewhere/x$-", nil)
	names, err := b.List(ctx, "x$-")
	if want := []string{"x$-+~0", "x$-+~1", "x$-+~2", "x$-+~3"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the list is %q (%v); want %q", names, err, want)
	}
	if got := fake.Object("a b/ü/x$-+~2"); len(got) != 3<<20 {
		t.Errorf("an object has %d bytes", len(got))
	}
	if err := b.Delete(ctx, "x$-+~2"); err != nil || fake.Object("a b/ü/x$-+~2") != nil {
		t.Errorf("it was not deleted: %v", err)
	}
	if wrong := fake.Wrong(); wrong != nil {
		t.Errorf("signatures were refused: %q", wrong)
	}
}

func TestAForbiddenRequestIsDeniedAndAnotherErrorIsNot(t *testing.T) {
	fake := &fakes3.Bucket{Refuse: []string{http.MethodDelete}, Session: valid.Session}
	b := serve(t, fake, valid)
	denied := new(*DeniedError)
	if err := b.Delete(t.Context(), "x"); !errors.As(err, denied) || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("deleting gives %v", err)
	}
	b.Credentials = func() (Credentials, error) { return Credentials{AccessKey: fakes3.AccessKey, Secret: "another"}, nil }
	if err := put(b, "x", "content"); !errors.As(err, denied) || strings.Contains(err.Error(), "another") {
		t.Errorf("the wrong secret gives %v", err)
	}
	b = serve(t, http.NotFoundHandler(), valid)
	if _, err := b.List(t.Context(), ""); err == nil || errors.As(err, denied) {
		t.Errorf("404 gives %v", err)
	}
}

func TestARedirectIsNotFollowedButItsRegionIsNamed(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	b := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-west-7")
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}), valid)
	if err := put(b, "x", "content"); err == nil || !strings.Contains(err.Error(), "eu-west-7") || followed {
		t.Errorf("a redirect gives %v (followed: %t)", err, followed)
	}
}

func TestAListingWithoutEndEnds(t *testing.T) {
	pages := 0
	b := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pages++
		fmt.Fprintf(w, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>"+
			"</ListBucketResult>", pages)
	}), valid)
	if _, err := b.List(t.Context(), ""); err == nil || pages != maxPages {
		t.Errorf("%d pages were read: %v", pages, err)
	}
	b = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range maxAnswer>>20 + 1 {
			if _, err := w.Write(bytes.Repeat([]byte{'<'}, 1<<20)); err != nil {
				return
			}
		}
	}), valid)
	if _, err := b.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large answer gives %v", err)
	}
}
