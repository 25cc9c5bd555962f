package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The examples are those of "Signature Calculations for the Authorization Header: Transferring
// Payload in a Single Chunk" in the Amazon S3 API Reference
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
func TestSignaturesAreThoseOfThePublishedExamples(t *testing.T) {
	example := Credentials{AccessKey: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, method, path, query, body string
		headers                         map[string]string
		signed, signature               string
	}{
		{
			name: "GET object", method: http.MethodGet, path: "/test.txt",
			headers:   map[string]string{"Range": "bytes=0-9"},
			signed:    "host;range;x-amz-content-sha256;x-amz-date",
			signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		{
			name: "PUT object", method: http.MethodPut, path: "/test$file.text", body: "Welcome to Amazon S3.",
			headers: map[string]string{
				"Date": "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY",
			},
			signed:    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		},
		{
			name: "GET bucket lifecycle", method: http.MethodGet, path: "/", query: "lifecycle",
			signed:    "host;x-amz-content-sha256;x-amz-date",
			signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		},
		{
			name: "list objects", method: http.MethodGet, path: "/", query: "prefix=J&max-keys=2",
			signed:    "host;x-amz-content-sha256;x-amz-date",
			signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	} {
		r := &http.Request{
			Method: c.method, Header: http.Header{},
			URL: &url.URL{
				Scheme: "https", Host: "examplebucket.s3.amazonaws.com", Path: c.path, RawPath: escape(c.path, true), RawQuery: c.query,
			},
		}
		for name, value := range c.headers {
			r.Header.Set(name, value)
		}
		sum := sha256.Sum256([]byte(c.body))
		Sign(r, hex.EncodeToString(sum[:]), "us-east-1", example, at)
		want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" +
			c.signed + ",Signature=" + c.signature
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
	}
}

func TestTheTokenOfASessionIsSigned(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "https://b.s3.eu-west-1.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	Sign(r, emptySum, "eu-west-1", Credentials{"id", "secret", "session"}, time.Now())
	if a := r.Header.Get("Authorization"); r.Header.Get(headerSession) != "session" ||
		!strings.Contains(a, ";x-amz-security-token,") {
		t.Errorf("the session is %q, and the signature %s", r.Header.Get(headerSession), a)
	}
}
