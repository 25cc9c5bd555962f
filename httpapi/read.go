package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// Values of Laurel-Cache: how an answer came about.
const (
	cacheLoad    = "load"    // read from the store here
	cacheForward = "forward" // the master was asked
)

// modeForward is the Laurel-Mode of a group in which the master answers every question.
const modeForward = "forward"

// maxTurns is how often a question follows the mastership before the client is told to ask again.
const maxTurns = 2

// question is what a request asks of the store. It has been checked; to ask it takes nothing but the store.
type question func(Records) (answer, error)

// answer is one of the answers about scores.
type answer struct {
	revision uint64              // of the record that was asked for; of the whole view for a list
	value    any                 // what is written as JSON
	text     func(*bytes.Buffer) // writes the same for people
}

// read answers a question about scores with what is true now. Where the truth comes from is decided here and nowhere else: from
// the store of the master, be it this frontend or another.
func (p *port) read(parse func(*http.Request) (question, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ask, err := parse(r)
		if err != nil {
			return err
		}
		for range maxTurns {
			here := p.group.Master()
			if here {
				var a *rendered
				if a, err = p.load(r, ask); err == nil {
					a.send(w, r, cacheLoad)
					return nil
				}
			} else {
				w.Header().Set("Laurel-Cache", cacheForward)
				if err = p.forward(w, r); err == nil {
					return nil
				}
				w.Header().Del("Laurel-Cache")
			}
			// Where the mastership has moved meanwhile, away from here or to here, the question follows it; a forwarded one does not.
			var problem *score.Problem
			if !p.forwards || !errors.As(err, &problem) || problem.Code != score.NoMaster || p.group.Master() == here {
				return err
			}
		}
		return err
	}
}

// load asks this frontend's store. The answer is written out before the view goes, for its parts may go with it.
func (p *port) load(r *http.Request, ask question) (*rendered, error) {
	var out *rendered
	err := p.group.Read(r.Context(), func(v Records) error {
		a, err := ask(v)
		if err != nil {
			return err
		}
		out, err = a.render(wantsText(r))
		return err
	})
	return out, err
}

// forward has the master answer. A request that has been forwarded already goes no further.
func (p *port) forward(w http.ResponseWriter, r *http.Request) error {
	if !p.forwards {
		return p.notMaster()
	}
	return p.group.Forward(w, r)
}

func (p *port) notMaster() error {
	return score.Problemf(score.NoMaster, "this was forwarded to %s, which is not the master; ask again", p.group.ID())
}

// rendered is an answer as bytes.
type rendered struct {
	body        []byte
	contentType string
	revision    uint64
}

func (a *answer) render(text bool) (*rendered, error) {
	if text {
		var b bytes.Buffer
		a.text(&b)
		return &rendered{b.Bytes(), typeText, a.revision}, nil
	}
	body, err := json.Marshal(a.value)
	if err != nil {
		return nil, err
	}
	return &rendered{append(body, '\n'), typeJSON, a.revision}, nil
}

// send writes the answer, or 304 where the client has it.
func (a *rendered) send(w http.ResponseWriter, r *http.Request, cache string) {
	tag := etag(a.body)
	h := w.Header()
	h.Set("Laurel-Revision", strconv.FormatUint(a.revision, 10))
	h.Set("Laurel-Cache", cache)
	h.Set("Laurel-Mode", modeForward)
	h.Set("Etag", tag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept")
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeBody(w, a.contentType, a.body)
}

func writeBody(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client is gone; nobody is left to tell
}

// etag is strong: it follows from the bytes alone, so every frontend gives the same answer the same tag.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// matches tells whether one of the lists of an If-None-Match names tag. It compares weakly, as RFC 9110 has it for this header.
func matches(lists []string, tag string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// say writes an answer about this frontend or the group, which has no revision.
func say(w http.ResponseWriter, r *http.Request, a answer) error {
	out, err := a.render(wantsText(r))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	writeBody(w, out.contentType, out.body)
	return nil
}
