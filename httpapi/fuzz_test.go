package httpapi

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// FuzzBodies: whatever is posted wherever, the answer is either a success or a whole problem, and what is refused has changed nothing.
func FuzzBodies(f *testing.F) {
	paths := []string{"/v1/events", "/v1/cluster/members", "/v1/cluster/transfer"}
	for i := range paths {
		f.Add(uint8(i), []byte(alert("a", "")))
		f.Add(uint8(i), []byte("["+alert("a", "")+","+alert("b", "refuse")+"]"))
		f.Add(uint8(i), []byte(`{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004","voter":false,"instance":"x"}`))
		f.Add(uint8(i), []byte(`{"to":"f2"}`))
		for _, c := range bad {
			if len(c.body) < 1000 {
				f.Add(uint8(i), []byte(c.body))
			}
		}
	}
	g, a := newFake(f, Options{})
	h := a.Handler()
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		g.mu.Lock()
		g.posted, g.members = nil, nil
		g.mu.Unlock()
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", paths[int(path)%len(paths)], bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(w, r)
		if w.Code == 200 {
			return
		}
		var p score.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p, json.RejectUnknownMembers(true)); err != nil || p.Status != w.Code || p.Code == "" || p.Detail == "" || w.Code >= 500 {
			t.Fatalf("got %d %s (%v)", w.Code, w.Body, err)
		}
		if len(g.posted) != 0 || len(g.members) != 0 {
			t.Fatalf("refused with %s, yet the group got %v %v", w.Body, g.posted, g.members)
		}
	})
}
