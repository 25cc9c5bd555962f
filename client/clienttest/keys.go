package clienttest

import (
	"crypto/ed25519"
	"net/http"

	"laurel/score"
	"laurel/trust/access"
)

// Register lists a public key under a bard's name. Signatures are kept and not checked.
func (g *Group) Register(name string, public ed25519.PublicKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys = append(g.keys, access.KeyView{ID: score.KeyID(public), Name: name, Public: public})
}

func (g *Group) keyList(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer(w, map[string]any{"keys": g.keys})
}

func (g *Group) key(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range g.keys {
		if k.ID == r.PathValue("id") {
			answer(w, k)
			return
		}
	}
	problem(w, score.Problemf(score.NotFound, "there is no key %q", r.PathValue("id")))
}
