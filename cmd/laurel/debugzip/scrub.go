package debugzip

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"laurel/score"
)

const hidden = "(hidden)"

// shown are the variables whose values are no secret. Of all others only the names are
// written: a variable that is new is hidden until somebody has thought about it.
var shown = []string{
	"LAUREL_ID", "LAUREL_DATA", "LAUREL_HTTP", "LAUREL_PEER", "LAUREL_PEER_LISTEN", "LAUREL_PUBLIC_URL", "LAUREL_JOIN",
	"LAUREL_BOOTSTRAP", "LAUREL_BOOTSTRAP_EXPECT", "LAUREL_NONVOTER", "LAUREL_TIME_SCALE", "LAUREL_INSECURE",
	"LAUREL_PRIVATE", "LAUREL_SWORN", "LAUREL_TLS_CERT", "LAUREL_TLS_KEY", "LAUREL_CORS_ORIGIN", "LAUREL_DEBUG",
	"LAUREL_METRICS", "LAUREL_LOG_LEVEL", "LAUREL_RUN_DIR", "LAUREL_URL", "LAUREL_CA",
}

var (
	tokens      = regexp.MustCompile(`laurel-(?:token|join)-\d\.[A-Za-z0-9._~-]+`)
	privateKeys = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`)
	userinfo    = regexp.MustCompile(`://[^/@\s"']+@`)
	addresses   = regexp.MustCompile(`[0-9A-Fa-f]*(?::[0-9A-Fa-f]*){2,7}(?:\.\d{1,3}){0,3}|\d{1,3}(?:\.\d{1,3}){3}`)
)

// scrubber removes from texts what nobody else is to read: secrets, and the addresses of
// those who are no frontends.
type scrubber struct {
	secrets   *strings.Replacer
	frontends map[netip.Addr]bool
}

// minSecret is the length of the shortest value that is looked for in all texts. A shorter
// one stands in many words.
const minSecret = 6

// newScrubber returns a scrubber that hides the values of variables that are not shown.
// known are texts with addresses that are no secret.
func newScrubber(environment []string, known ...string) *scrubber {
	s := &scrubber{frontends: map[netip.Addr]bool{}}
	var pairs []string
	for _, v := range environment {
		name, value, _ := strings.Cut(v, "=")
		if isShown(name) || !strings.HasPrefix(name, "LAUREL_") {
			continue
		}
		if path, isFile := strings.CutPrefix(value, "@"); isFile {
			if text, err := os.ReadFile(path); err == nil && len(text) < 1<<16 {
				value = strings.TrimSpace(string(text))
			}
		}
		// The part behind the last dot of a token is its secret.
		for _, part := range []string{value, value[strings.LastIndexByte(value, '.')+1:]} {
			if len(part) >= minSecret {
				pairs = append(pairs, part, hidden)
			}
		}
	}
	s.secrets = strings.NewReplacer(pairs...)
	for _, text := range known {
		for _, found := range addresses.FindAllString(text, -1) {
			if a, err := netip.ParseAddr(found); err == nil {
				s.frontends[a] = true
			}
		}
	}
	return s
}

// addressesOf returns the addresses of a group's frontends as texts.
func addressesOf(group *score.Frontends) (list []string) {
	if group == nil {
		return nil
	}
	for _, f := range group.Frontends {
		list = append(list, f.URL, f.Peer)
	}
	return list
}

func isShown(name string) bool { return slices.Contains(shown, name) }

// scrub returns a text without secrets.
func (s *scrubber) scrub(text string) string {
	text = privateKeys.ReplaceAllString(text, hidden)
	text = tokens.ReplaceAllString(text, hidden)
	text = userinfo.ReplaceAllString(text, "://"+hidden+"@")
	text = s.secrets.Replace(text)
	return addresses.ReplaceAllStringFunc(text, func(found string) string {
		a, err := netip.ParseAddr(found)
		if err != nil || a.IsLoopback() || a.IsUnspecified() || s.frontends[a] {
			return found
		}
		return "(address)"
	})
}

// environmentText returns the variables of Laurel, with the values of those that are shown.
func environmentText(environment []string) string {
	var lines []string
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case !strings.HasPrefix(name, "LAUREL_"):
		case isShown(name):
			lines = append(lines, v)
		default:
			lines = append(lines, name+"="+hidden)
		}
	}
	slices.Sort(lines)
	return strings.Join(append(lines, ""), "\n")
}
