package address

import (
	"strings"
	"testing"
)

func TestAURLHasOneTextHoweverItIsWritten(t *testing.T) {
	for want, texts := range map[string][]string{
		"http://f1.example":            {"http://f1.example", "HTTP://F1.Example:80/", "http://f1.example:/", "http://f1.example//", " f1.example "},
		"https://f1.example":           {"https://f1.example:443", "https://F1.EXAMPLE"},
		"https://f1.example:80":        {"https://f1.example:080"},
		"http://[::1]:8001":            {"http://[0:0::1]:8001/"},
		"http://127.0.0.1:8001":        {"127.0.0.1:8001", "http://[::ffff:127.0.0.1]:8001"},
		"http://[2001:db8::1]":         {"http://[2001:DB8:0::1]:80"},
		"https://scores.example/a/b-c": {"https://scores.example/a/b-c/", "https://Scores.example:443/a/b-c"},
		"http://scores.example/Live":   {"scores.example/Live"},
		"http://f_1:8001":              {"http://F_1:8001"},
	} {
		for _, text := range texts {
			u, err := ParseTyped(text)
			if err != nil || u.String() != want {
				t.Errorf("%q is %q (%v); want %q", text, u, err, want)
			}
			if again, err := Parse(u.String()); err != nil || again != u {
				t.Errorf("%q, parsed again, is %+v (%v); want %+v", u, again, err, u)
			}
		}
	}
}

func TestWhatIsNoURLOfAFrontendIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "scores.example", "//scores.example", "ftp://x", "javascript:alert(1)", "http:", "http://", "http:///x",
		"http://:8001", "http://0.0.0.0:1", "http://[::]:1", "http://[::ffff:0.0.0.0]", "https://a b/", "http://a%20b",
		"http://user@x", "http://user:secret@x", "http://x?q", "http://x?", "http://x#f", "http://x#", "http://x:0",
		"http://x:65536", "http://x:-1", "http://x:http", "http://::1", "http://[fe80::1%25eth0]:8001", "http://[x]", "http://[127.0.0.1]",
		"http://127.1", "http://0x7f.1", "http://2130706433", "http://x.", "http://.x", "http://x..y", "http://x/a//b",
		"http://x/a/../b", "http://x/./a", "http://x/a%2fb", "http://x/a b", "http://x/é", "http://é.example",
		"http://x/'; script-src *", "http://x;y", "http://x,y", "http://x\n", "http://x/\u202e",
		"http://" + strings.Repeat("a", 64) + ".example", "http://x/" + strings.Repeat("a", maxURL),
	} {
		if u, err := Parse(text); err == nil || u != (URL{}) {
			t.Errorf("%q is taken as %+v, %v", text, u, err)
		}
	}
}

func TestTheURLOfAFrontendHasTheNameThatItListensOn(t *testing.T) {
	for _, c := range []struct {
		secure  bool
		listen  string
		machine string
		want    string // "" for an error
	}{
		{false, "127.0.0.1:8001", "box", "http://127.0.0.1:8001"},
		{true, "f1.example:443", "box", "https://f1.example"},
		{true, "F1.example:8001", "", "https://f1.example:8001"},
		{true, "[::1]:8001", "box", "https://[::1]:8001"},
		{true, "0.0.0.0:8001", "box.example", "https://box.example:8001"},
		{true, "[::]:8001", "Box", "https://box:8001"},
		{true, ":8001", "box", "https://box:8001"},
		{true, ":8001", "", ""},
		{true, ":8001", "localhost", ""},
		{true, "0.0.0.0:8001", "no host", ""},
		{true, "[fe80::1%eth0]:8001", "box", ""},
		{true, "f1.example", "box", ""},
		{true, "f1 example:1", "box", ""},
	} {
		u, err := Of(c.secure, c.listen, c.machine)
		if u.String() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q on %q, secure %t: got %q, %v; want %q", c.listen, c.machine, c.secure, u, err, c.want)
		}
	}
}

func TestAURLServesItsSchemeAndHostOnly(t *testing.T) {
	for _, c := range []struct {
		url, scheme, host string
		want              bool
	}{
		{"http://f1.example", "http", "f1.example", true},
		{"http://f1.example", "http", "F1.example:80", true},
		{"http://f1.example", "https", "f1.example", false},
		{"http://f1.example", "http", "f1.example:8001", false},
		{"http://f1.example:8001", "http", "f1.example", false},
		{"http://f1.example:8001", "http", "f1.example:8001", true},
		{"http://127.0.0.1:8001", "http", "localhost:8001", false},
		{"http://[::1]:8001", "http", "[0::1]:8001", true},
		{"http://[::1]", "http", "[::1]", true},
		{"http://f1.example", "http", "", false},
		{"http://f1.example", "http", "a b", false},
	} {
		u, err := Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Serves(c.scheme, c.host); got != c.want {
			t.Errorf("%s serves %s://%s: %t", u, c.scheme, c.host, got)
		}
	}
	if (URL{}).Serves("", "") {
		t.Error("no URL serves a request")
	}
}

func TestAURLReachesOthersOfItsSchemeThatItsClientsHaveAWayTo(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"http://f1.example", "http://f2.example", true},
		{"http://f1.example", "https://f2.example", false},
		{"https://f1.example", "http://f2.example", false},
		{"http://f1.example", "http://f1.example", false},
		{"http://f1.example/a", "http://f1.example/b", true},
		{"http://f1.example", "http://127.0.0.2:8001", false},
		{"http://f1.example", "http://[::1]:8001", false},
		{"http://f1.example", "http://localhost:8001", false},
		{"http://127.0.0.1:8001", "http://127.0.0.1:8002", true},
		{"http://localhost:8001", "http://f2.example", true},
		{"http://f1.example", "http://10.0.0.2:8001", false},
		{"http://f1.example", "http://[fd00::2]:8001", false},
		{"http://f1.example", "http://box:8001", false},
		{"http://f1.example", "http://198.51.100.2:8001", true},
		{"http://198.51.100.1", "http://192.168.0.2", false},
		{"http://10.0.0.1:8001", "http://10.0.0.2:8001", true},
		{"http://10.0.0.1:8001", "http://f2:8001", true},
		{"http://f1:8001", "http://f2:8001", true},
		{"http://f1:8001", "http://192.168.0.2:8001", true},
		{"http://localhost:8001", "http://10.0.0.2:8001", true},
	} {
		from, err := Parse(c.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := from.Reaches(to); got != c.want {
			t.Errorf("%s reaches %s: %t", from, to, got)
		}
		if from.Reaches(URL{}) || (URL{}).Reaches(to) || (URL{}).ReachedFrom("localhost") {
			t.Errorf("no URL is reached from %s, or reaches %s", from, to)
		}
	}
}

func TestAPeerAddressIsThatOfOneMachine(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:9001": true, "f1.example:9001": true, "[::1]:9001": true, "127.0.0.1:0": true, "f_1:1": true,
		"": false, ":9001": false, "0.0.0.0:9001": false, "[::]:9001": false, "f1.example": false, "f1:http": false,
		"f1:65536": false, "a b:1": false, "f1:": false, "http://f1:1": false, "f1/:1": false,
	} {
		if err := CheckPeer(addr); (err == nil) != want {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestAHostIsThatOfOneMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"f1.example": true, "localhost": true, "10.0.0.1": true, "2001:db8::1": true, "f_1": true,
		"": false, "0.0.0.0": false, "::": false, "::ffff:0.0.0.0": false, "f1:8001": false, "[::1]": false, "*": false,
		"a b": false, "127.1": false, "fe80::1%eth0": false,
	} {
		if err := CheckHost(host); (err == nil) != want {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestHostnameIsWithoutPortAndBrackets(t *testing.T) {
	for host, want := range map[string]string{
		"F1.example": "f1.example", "f1.example:8001": "f1.example", "[::1]:8001": "::1", "[::1]": "::1", "::1": "::1",
		"127.0.0.1": "127.0.0.1", "[::ffff:127.0.0.1]:1": "127.0.0.1", "": "", ":8001": "",
	} {
		if got := Hostname(host); got != want {
			t.Errorf("%q is the host %q; want %q", host, got, want)
		}
	}
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true,
		"128.0.0.1": false, "": false, "localhost.example": false, "evil.example": false, "127.0.0.1.example": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("%q is loopback: %t", host, got)
		}
	}
}

func FuzzParsedURLsAreNormal(f *testing.F) {
	for _, text := range []string{"http://f1:8001/a/b", "https://[::1]:443", "HTTP://A.b:080/", "http://x/%61"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(u.String()); err != nil || again != u {
			t.Errorf("%q is %q, and that %q (%v)", text, u, again, err)
		}
		if strings.ContainsAny(u.String(), " ;,'\"<>\\\r\n\t") {
			t.Errorf("%q is %q", text, u)
		}
		if !u.Serves(u.Scheme, u.Host) {
			t.Errorf("%q does not serve itself", u)
		}
	})
}

func TestErrorsDoNotQuoteALongTextWhole(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, text := range []string{long, "http://" + long, "http://x:" + long, "http://x/" + long, "http://[" + long + "]"} {
		if _, err := Parse(text); err == nil || len(err.Error()) > 2*maxURL {
			t.Errorf("%.20q...: the error has %d bytes", text, len(err.Error()))
		}
	}
	for _, text := range []string{long, "x:" + long, long + ":1", "[" + long + "]:1", "[" + long, "a:b:" + long} {
		for _, err := range []error{CheckPeer(text), CheckListen(text)} {
			if err != nil && len(err.Error()) > 2*maxURL {
				t.Errorf("%.20q...: the error has %d bytes", text, len(err.Error()))
			}
		}
	}
}
