package access

import "testing"

func TestATextWithATokenIsCutBeforeItsSecret(t *testing.T) {
	token := NewBearerToken().Text()
	for text, want := range map[string]string{
		"": "", "/v1/scores": "/v1/scores", "laurel-token-1.": "laurel-token-1.",
		"/v1/keys/" + token + "/x":   "/v1/keys/laurel-token-1.",
		"laurel-join-1.0f.x" + token: "laurel-join-1.",
	} {
		if got := WithoutToken(text); got != want || HasToken(text) != (text != want) {
			t.Errorf("%q: got %q, %t", text, got, HasToken(text))
		}
	}
}
