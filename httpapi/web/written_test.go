package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/internal/address"
)

func writtenPage(t *testing.T, policy string, urls ...string) string {
	t.Helper()
	var frontends []address.URL
	for _, text := range urls {
		u, err := address.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		frontends = append(frontends, u)
	}
	var b bytes.Buffer
	if err := Write(&b, policy, frontends); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a written page loads from elsewhere could be a lie, or be missing.
func TestAWrittenPageHasEverythingInIt(t *testing.T) {
	html := writtenPage(t, "# </script><script>alert(1)</script>\n", "https://f1.example/live", "https://f1.example:444")
	if from := regexp.MustCompile(`(src|href|action)="[^d#]`).FindString(html); from != "" {
		t.Errorf("the page has %s", from)
	}
	if n := strings.Count(html, "<script"); n != 2 {
		t.Errorf("the page has %d script elements; want 2", n)
	}
	security := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(html)[1]
	security = strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(security)
	for _, element := range []string{"script type=\"module\"", "style"} {
		name, _, _ := strings.Cut(element, " ")
		content := regexp.MustCompile(`(?s)<` + element + `>(.*?)</` + name + `>`).FindStringSubmatch(html)[1]
		sum := sha256.Sum256([]byte(content))
		want := fmt.Sprintf("%s-src 'sha256-%s';", name, base64.StdEncoding.EncodeToString(sum[:]))
		if !strings.Contains(security, want) {
			t.Errorf("the policy %q lacks %s", security, want)
		}
	}
	for _, want := range []string{
		"default-src 'none'", "connect-src https://f1.example https://f1.example:444;", "base-uri 'none'",
	} {
		if !strings.Contains(security, want) {
			t.Errorf("the policy %q lacks %s", security, want)
		}
	}
}

func TestTheScriptOfAWrittenPageGetsThePolicyAndTheFrontends(t *testing.T) {
	const policy = "# laurel policy 1\n# \u2014 </script>\n"
	html := writtenPage(t, policy, "https://f1.example/live", "http://[::1]:8001")
	var served struct {
		Policy   string `json:"policy"`
		ServedAt int64  `json:"served_at"`
		Data
	}
	text := regexp.MustCompile(`(?s)id="served">(.*?)</script>`).FindStringSubmatch(html)[1]
	if err := json.Unmarshal([]byte(text), &served); err != nil {
		t.Fatal(err)
	}
	if served.Policy != policy || served.ServedAt != 0 || served.Frontend != "" {
		t.Errorf("it gets %+v", served)
	}
	var got []string
	for _, f := range served.Frontends.Frontends {
		got = append(got, f.ID+" "+f.URL)
	}
	if want := "[f1.example/live https://f1.example/live [::1]:8001 http://[::1]:8001]"; fmt.Sprint(got) != want {
		t.Errorf("it gets the frontends %v; want %s", got, want)
	}
}
