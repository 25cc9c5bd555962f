package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Bounds of a question that a frontend answers with a signature, in bytes.
const (
	MinNonce    = 16
	MaxNonce    = 64
	MaxQuestion = 1 << 10
)

// Question asks a frontend for a signed answer from its own state.
type Question struct {
	// Question is the path of a read with its query, as for a GET.
	Question string `json:"question"`
	// Nonce is chosen anew for each read, so that no answer can be older than its question.
	Nonce string `json:"nonce"`
	// Revision is one that the frontend's state should have. It waits a moment for it.
	Revision uint64 `json:"revision,omitzero"`
}

// Check returns what is wrong with the question's form. Neither text has anything that could
// pass for a line of a signed text.
func (q *Question) Check() error {
	switch n := len(q.Nonce); {
	case n < MinNonce || n > MaxNonce || !printable(q.Nonce):
		return fmt.Errorf("nonce of %d bytes; want %d to %d printable ones: %w", n, MinNonce, MaxNonce, ErrMalformed)
	case q.Question == "" || len(q.Question) > MaxQuestion || !printable(q.Question):
		return fmt.Errorf("question of %d bytes; want up to %d printable ones: %w",
			len(q.Question), MaxQuestion, ErrMalformed)
	}
	return nil
}

// printable reports whether s has only visible characters of ASCII.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// Proven is an answer of a certified round, and the text of its Proof.
type Proven struct {
	// Answer is what GET answers, byte for byte; nil if there is nothing.
	Answer *string `json:"answer"`
	Proof  string  `json:"proof"`
}

// Statement is a frontend's answer to a question: that its state at Revision gives Body with
// Status. Who signs it says so for one question with one nonce.
type Statement struct {
	Frontend  string `json:"frontend"`
	Store     string `json:"store"` // the lineage
	Revision  uint64 `json:"revision"`
	Status    int    `json:"status"` // of HTTP
	Body      string `json:"body"`   // as GET answers
	Signature []byte `json:"signature"`
}

// text returns what is signed. The question is last and has no line break.
func (s *Statement) text(q *Question) []byte {
	sum := sha256.Sum256([]byte(s.Body))
	return fmt.Appendf(nil, "laurel vouch 1\nstore %s\nnonce %s\nrevision %d\nstatus %d\nbody %s\nquestion %s\n",
		s.Store, q.Nonce, s.Revision, s.Status, base64.StdEncoding.EncodeToString(sum[:]), q.Question)
}

// Vouch signs the statement as the answer to a question, in the name of the key.
func (k *Key) Vouch(q *Question, s *Statement) error {
	if err := q.Check(); err != nil {
		return err
	}
	s.Frontend = k.name
	s.Signature = ed25519.Sign(k.private, s.text(q))
	return nil
}

// VerifyVouch returns why nobody should believe that a frontend of the policy has said s in
// answer to the question, or nil.
func (p *Policy) VerifyVouch(q *Question, s *Statement) error {
	if s.Store != p.Store {
		return fmt.Errorf("the answer is of another store: %w", ErrAnswer)
	}
	for _, f := range p.Frontends {
		if f.Name == s.Frontend {
			if ed25519.Verify(f.Public, s.text(q), s.Signature) {
				return nil
			}
			return fmt.Errorf("the answer is %w of %s", ErrSignature, f.Name)
		}
	}
	return fmt.Errorf("%q is no frontend of the policy: %w", s.Frontend, ErrSignature)
}
