package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

// SignInData is the data of the form that a browser shows in the place of the page of a
// private group.
type SignInData struct {
	// Problem is why signing in has failed, "" for the first try.
	Problem string
	// Exposed is true if others may read what the browser sends: there is no form then.
	Exposed bool
	// Reload is true for a browser that comes by a link of another site. It did not send
	// the cookie of its session, if it has one, but does when the page itself reloads.
	Reload bool
}

//go:embed signin.html
var signInText string

var signInTemplate = template.Must(template.New("signin").Parse(signInText))

// Asset returns the URL of a file in dist. The template calls it.
func (*SignInData) Asset(name string) string { return (*pageData)(nil).Asset(name) }

const signInPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// referrerPolicy lets no other site know of the page. With no-referrer, a browser would
// send a form of the page with the origin null, as that of another origin.
const referrerPolicy = "same-origin"

// SignIn writes the form to sign in with a status.
func SignIn(w http.ResponseWriter, status int, d SignInData) error {
	var b bytes.Buffer
	if err := signInTemplate.Execute(&b, &d); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", signInPolicy)
	h.Set("Referrer-Policy", referrerPolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", typeHTML)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // an error means that the client is gone
	return nil
}
