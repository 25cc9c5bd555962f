package score

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "Xy7secretXy7"
	p := &Post{Secret: text}
	for _, verb := range "vsqxXdot" {
		for _, flag := range []string{"", "+", "#"} {
			if s := fmt.Sprintf("%"+flag+string(verb), p.Secret); strings.Contains(s, text) {
				t.Errorf("%%%s%c prints %s", flag, verb, s)
			}
			if s := fmt.Sprintf("%"+flag+string(verb), p); strings.Contains(s, text) {
				t.Errorf("%%%s%c of the post prints %s", flag, verb, s)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("post", "secret", p.Secret, "post", p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("post", "secret", p.Secret, "post", p)
	encoded, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if log.Write(encoded); strings.Contains(log.String(), text) || strings.Count(log.String(), "(secret)") != 5 {
		t.Errorf("got %s", log.String())
	}
}
