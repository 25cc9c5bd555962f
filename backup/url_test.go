package backup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"laurel/backup/s3"
)

func TestURLsSayWhereHowOftenAndHowMany(t *testing.T) {
	for text, want := range map[string]struct {
		target, base, prefix string
		every                time.Duration
		keep                 int
	}{
		"file:///var/backups":                               {"file:///var/backups", "", "", 10 * time.Minute, 0},
		"file:///b/?every=1h&keep=24":                       {"file:///b", "", "", time.Hour, 24},
		"s3://games/a/b?every=90s":                          {"s3://games/a/b/", "https://games.s3.us-east-1.amazonaws.com", "a/b/", 90 * time.Second, 0},
		"s3://games?region=eu-west-1":                       {"s3://games/", "https://games.s3.eu-west-1.amazonaws.com", "", 10 * time.Minute, 0},
		"s3://a.b/c":                                        {"s3://a.b/c/", "https://s3.us-east-1.amazonaws.com/a.b", "c/", 10 * time.Minute, 0},
		"s3://games/?style=path":                            {"s3://games/", "https://s3.us-east-1.amazonaws.com/games", "", 10 * time.Minute, 0},
		"s3://games?endpoint=https://minio:9000":            {"s3://games/", "https://minio:9000/games", "", 10 * time.Minute, 0},
		"s3://games?endpoint=https://minio:9000&style=host": {"s3://games/", "https://games.minio:9000", "", 10 * time.Minute, 0},
		"s3://games?endpoint=http://127.0.0.1:9000/":        {"s3://games/", "http://127.0.0.1:9000/games", "", 10 * time.Minute, 0},
		"s3://games?endpoint=http://[::1]:9000":             {"s3://games/", "http://[::1]:9000/games", "", 10 * time.Minute, 0},
	} {
		p, err := ParseURL(text, "/var/backup")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		base, prefix := "", ""
		if b, ok := p.Target.(*bucket); ok {
			base, prefix = b.objects.Base.String(), b.objects.Prefix
		}
		if p.Target.String() != want.target || base != want.base || prefix != want.prefix || p.Every != want.every ||
			p.Keep != want.keep {
			t.Errorf("%s is %s at %s, prefix %q, every %s, keep %d", text, p.Target, base, prefix, p.Every, p.Keep)
		}
	}
}

func TestAURLThatCannotBeMeantIsRefusedWithoutItsSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"":                                        "want file:///DIR",
		"/var/backups":                            "want file:///DIR",
		"ftp://host/dir":                          "want file:///DIR",
		"file://var/backups":                      "absolute directory",
		"file:var":                                "absolute directory",
		"file:///data":                            "would be lost with it",
		"file:///data/f1/../backups?keep=2":       "would be lost with it",
		"file:///b?every=0s":                      "every=",
		"file:///b?every=fast":                    "every=",
		"file:///b?keep=0":                        "keep=",
		"file:///b?keep=-1":                       "keep=",
		"file:///b?keep=1&keep=2":                 "one value",
		"file:///b?keep=":                         "one value",
		"file:///b?kep=1":                         `no parameter "kep"`,
		"file:///b?region=x":                      `no parameter "region"`,
		"file:///b#c":                             "escape #",
		"s3:///a":                                 "name of a bucket",
		"s3://games:80/a":                         "name of a bucket",
		"s3://games?style=odd":                    "style=",
		"s3://games?endpoint=http://minio:9000":   "https",
		"s3://games?endpoint=http://10.0.0.1":     "https",
		"s3://games?endpoint=minio":               "endpoint=",
		"s3://games?endpoint=https://m/path":      "endpoint=",
		"s3://id:hidden@games/a":                  "credentials",
		"s3://games?endpoint=https://u:hidden@m/": "endpoint=",
		"s3://id:hidden@games/%zz":                "no URL",
		"s3://games?secret=hidden":                `no parameter "secret"`,
	} {
		_, err := ParseURL(text, "/data/")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func TestCredentialsOfAFileAreReadAgainAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	of := credentialsOf(file)
	if _, err := of(); err == nil {
		t.Error("there are credentials without a file")
	}
	for _, c := range []struct {
		content string
		want    s3.Credentials
	}{
		{"[default]\naws_access_key_id = a\naws_secret_access_key=b=\n", s3.Credentials{AccessKey: "a", Secret: "b="}},
		{
			"[x]\naws_access_key_id=x\n[default]\n# c\naws_access_key_id=a\r\naws_secret_access_key=b\naws_session_token=s\n[y]\naws_access_key_id=y\n",
			s3.Credentials{AccessKey: "a", Secret: "b", Session: "s"},
		},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := of(); err != nil || got != c.want {
			t.Errorf("%q has %v (%v)", c.content, got, err)
		}
	}
	if err := os.WriteFile(file, []byte("[default]\naws_secret_access_key=hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := of(); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("half of the credentials are %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := credentialsOf("")(); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("half of the variables give %v", err)
	}
}
