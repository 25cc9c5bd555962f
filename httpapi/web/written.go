package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/internal/address"
	"laurel/score"
)

//go:embed written.html
var writtenText string

var writtenTemplate = template.Must(template.New("written").Parse(writtenText))

// writtenData is the data of the template written.html.
type writtenData struct {
	Security string
	Icon     template.URL
	Style    template.CSS
	Served   template.JS
	Script   template.JS
}

// Write writes the live page as one file, which no frontend serves: it asks the frontends at
// the URLs, and marks what they prove by the policy for readers, whose text the caller has
// checked. The page has nothing of the scores yet.
func Write(w io.Writer, policy string, frontends []address.URL) error {
	data := struct {
		servedData
		Policy string `json:"policy"`
	}{Policy: policy}
	security := "connect-src"
	for _, u := range frontends {
		// The id of a frontend would be its own word.
		data.Frontends.Frontends = append(data.Frontends.Frontends,
			score.Frontend{ID: u.Host + u.Path, URL: u.String(), State: score.Serving})
		security += " " + u.Origin()
	}
	served, err := json.Marshal(data, jsontext.EscapeForHTML(true))
	if err != nil {
		return fmt.Errorf("encode the page's data: %w", err)
	}
	script, style, icon := assets()["page.js"], assets()["style.css"], assets()["laurel.svg"]
	if bytes.Contains(script.body, []byte("</script")) || bytes.Contains(script.body, []byte("<!--")) {
		return errors.New("the script would not end where its element does")
	}
	return writtenTemplate.Execute(w, &writtenData{
		Security: fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; img-src data:; %s; "+
			"base-uri 'none'; form-action 'none'", sourceOf(script.body), sourceOf(style.body), security),
		Icon:   template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(icon.body)),
		Style:  template.CSS(style.body),
		Served: template.JS(served), // EscapeForHTML left no character that could end the script element
		Script: template.JS(script.body),
	})
}

// sourceOf returns the source of a content security policy that allows an element with the
// content.
func sourceOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
