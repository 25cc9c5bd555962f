package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"laurel/cluster"
	"laurel/internal/boundlog"
	"laurel/internal/cli"
	"laurel/internal/frontend"
	"laurel/trust/pki"
)

func TestAFrontendEndsWithTheExitCodeOfItsError(t *testing.T) {
	storage := &cluster.StorageError{Dir: "d", Err: io.ErrShortWrite}
	contradiction := &cluster.ContradictionError{Dir: "d", Err: errors.New("the term would go down")}
	other := errors.New("some error")
	for what, c := range map[string]struct {
		err  error
		want int
	}{
		"a disk that failed":            {storage, 4},
		"a start on a disk that failed": {fmt.Errorf("start: %w", storage), 4},
		"a database that could not be closed": {errors.Join(nil,
			errors.Join(other, fmt.Errorf("close: %w", storage))), 4},
		"a removal": {cluster.ErrRemoved, 5},
		"a start after a removal": {fmt.Errorf("%w; start with another directory", cluster.ErrRemoved),
			5},
		"a removal, and a close that failed":       {errors.Join(cluster.ErrRemoved, storage), 5},
		"a contradiction":                          {contradiction, 6},
		"a contradiction, and a close that failed": {errors.Join(storage, contradiction), 6},
		"a history that is not certified":          {&cluster.GoBackError{Dir: "d", Index: 7, Reason: "it is another"}, 8},
		"a directory where there is nothing":       {&cluster.EmptyError{Dir: "d"}, 2},
		"a voter that is to have no vote":          {errors.Join(cluster.ErrHasVote, nil), 2},
		"a port that is taken":                     {other, 1},
		"a code of its own":                        {&cli.ExitError{Code: 3, Err: other}, 3},
	} {
		var exit *cli.ExitError
		got := 1
		if err := frontendError(c.err); errors.As(err, &exit) {
			got = exit.Code
		} else if err == nil {
			got = 0
		}
		if got != c.want {
			t.Errorf("%s: exit code %d; want %d", what, got, c.want)
		}
	}
	if err := frontendError(nil); err != nil {
		t.Errorf("an orderly end is %v", err)
	}
}

func TestTheHelpOfAFrontendExplainsItsExitCodes(t *testing.T) {
	var out bytes.Buffer
	root := newLaurelCommand()
	root.SetArgs([]string{"frontend", "--help"})
	root.SetOut(&out)
	if code := cli.Run(t.Context(), root); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, code := range []int{cli.ExitDisk, cli.ExitRemoved, cli.ExitContradiction, cli.ExitGoBack} {
		if !strings.Contains(out.String(), fmt.Sprintf("\n  %d  ", code)) {
			t.Errorf("the help does not explain exit code %d:\n%s", code, &out)
		}
	}
}

func TestPrivateIsOnlyForANewGroupThatAuthenticates(t *testing.T) {
	for line, want := range map[string]string{
		"--join http://127.0.0.1:1 --private": "laurel cluster set private=true",
		"--private":                           "laurel cluster set private=true",
		"--bootstrap --private --insecure":    "--private has no effect with --insecure",
	} {
		args := append([]string{"frontend", "--id", "f1", "--data", t.TempDir()}, strings.Fields(line)...)
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", line, code, errs, want)
		}
	}
}

func TestAnAddressThatOthersCannotUseIsWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"--public-url scores.example":                        "scheme",
		"--public-url ftp://scores.example":                  "scheme",
		"--public-url https://scores.example?x=1":            "query",
		"--public-url https://user@scores.example":           "user",
		"--public-url https://0.0.0.0:1":                     "every address",
		"--public-url javascript:alert(1)":                   "scheme",
		"--public-url https://scores.example/a/../b":         "path",
		"--http [fe80::1%eth0]:8001":                         "--public-url",
		"--http f1":                                          "--public-url",
		"--http f1 --public-url https://scores.example":      "--http",
		"--http f1:x --public-url https://scores.example":    "--http",
		"--peer :9001":                                       "--peer-listen",
		"--peer 0.0.0.0:9001":                                "--peer-listen",
		"--peer f1.example":                                  "--peer",
		"--peer f1.example:9001 --peer-listen 9001":          "--peer-listen",
		"--peer f1.example:9001 --peer-listen :99999":        "--peer-listen",
		"--peer f1.example:0 --peer-listen :9001":            "--peer",
		"--insecure --peer-listen 0.0.0.0:9001":              "loopback",
		"--insecure --peer 127.0.0.1:1 --peer-listen f1:901": "loopback",
	} {
		dir := filepath.Join(t.TempDir(), "data")
		args := append([]string{"frontend", "--id", "f1", "--data", dir, "--bootstrap"}, strings.Fields(line)...)
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", line, code, errs, want)
		}
		if _, err := os.Stat(pki.DirIn(dir)); err == nil {
			t.Errorf("%s: it has made a certificate", line)
		}
	}
	t.Setenv("LAUREL_PUBLIC_URL", "https://a b/")
	code, _, errs, _ := run(t, answers("{}"), "frontend", "--id", "f1", "--data", t.TempDir(), "--bootstrap")
	if code != cli.ExitUsage || !strings.Contains(errs, "LAUREL_PUBLIC_URL") {
		t.Errorf("a wrong URL in the environment: exit code %d, stderr %q", code, errs)
	}
}

// Clients compare the host of a URL with the certificate.
func TestTheCertificateHasTheHostsOfAllURLs(t *testing.T) {
	machine := frontend.MachineName()
	for _, c := range []struct {
		args []string
		want []string // besides those of loopback
	}{
		{[]string{"--http", "F1.example:8001", "--peer", "f1.inside:9001"}, []string{"f1.example", "f1.inside"}},
		{[]string{"--http", "0.0.0.0:8001", "--peer", "10.0.0.1:9001"}, []string{"10.0.0.1", strings.ToLower(machine)}},
		{[]string{"--http", ":8001", "--peer", "10.0.0.1:9001", "--public-url", "https://Scores.example/live"},
			[]string{"10.0.0.1", "scores.example", strings.ToLower(machine)}},
		{[]string{"--http", "[2001:db8:0::1]:8001", "--peer", "f1:9001"}, []string{"2001:db8::1", "f1"}},
	} {
		var f frontendFlags
		command := &cobra.Command{}
		f.add(command)
		if err := command.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		if err := f.checkAddresses(); err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
		want := append(c.want, pki.LoopbackHosts...)
		slices.Sort(want)
		want = slices.Compact(want)
		if got := f.hosts(); !slices.Equal(got, want) {
			t.Errorf("%q: the certificate is for %q; want %q", c.args, got, want)
		}
		if !slices.Contains(f.hosts(), f.URL.Hostname()) {
			t.Errorf("%q: the certificate is not for the published URL %s", c.args, f.URL)
		}
	}
}

func TestAnAddressToJoinWithoutASchemeIsWrongUsage(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1:8001", "localhost:8001", "scores.example", "://x", "ftp://127.0.0.1:8001", "https://", "http://:8001",
		"https:127.0.0.1:8001", "javascript:alert(1)", "https://127.0.0.1:8001,127.0.0.1:8002", "https://a b",
	} {
		for _, more := range []string{"", "--insecure", "--bootstrap"} {
			args := []string{"frontend", "--id", "f1", "--data", t.TempDir(), "--join", address}
			args = append(args, strings.Fields(more)...)
			code, _, errs, _ := run(t, answers("{}"), args...)
			if code != cli.ExitUsage || !strings.Contains(errs, "--join") ||
				!strings.Contains(errs, "https://10.0.0.1:8001") {
				t.Errorf("%q: exit code %d, stderr %q", args, code, errs)
			}
		}
	}
	for _, address := range []string{"http://127.0.0.1:8001", "https://scores.example", "HTTPS://[::1]:8001/live"} {
		f := frontendFlags{metrics: metricsAtHTTP}
		f.Member.ID, f.Member.Dir, f.Member.TimeScale, f.Member.Join = "f1", "d", 1, []string{address}
		f.Member.Peer, f.HTTP = "f1:9001", "f1:8001"
		if err := f.check(); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAnIDOrATimeScaleThatNoFrontendHasIsWrongUsage(t *testing.T) {
	for _, wrong := range []string{
		"--id f/1", "--id f@1", "--id " + strings.Repeat("f", 65), "--time-scale NaN", "--time-scale 0", "--time-scale +Inf",
	} {
		args := append([]string{"frontend", "--id", "f1", "--data", t.TempDir(), "--bootstrap"}, strings.Fields(wrong)...)
		flag, _, _ := strings.Cut(wrong, " ")
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage || !strings.Contains(errs, flag) {
			t.Errorf("%s: exit code %d, stderr %q; want wrong usage", wrong, code, errs)
		}
	}
}

// onFirstLine calls f when something is written, and keeps what is.
type onFirstLine struct {
	bytes.Buffer
	f func()
}

func (w *onFirstLine) Write(b []byte) (int, error) {
	w.f()
	return w.Buffer.Write(b)
}

func TestAFrontendThatIsStoppedBeforeItHasAGroupEndsInOrder(t *testing.T) {
	token := pki.NewJoinToken(strings.Repeat("0", 64)).Text()
	for what, args := range map[string][]string{
		"while it looks for a group": {
			"--bootstrap-expect", "2", "--http", "127.0.0.1:0", "--join", "http://127.0.0.1:1,http://127.0.0.1:2",
			"--join-token", token,
		},
		"while it asks for a certificate": {"--join", "https://127.0.0.1:2", "--join-token", token},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &onFirstLine{f: cancel}
		root := newLaurelCommand()
		root.SetArgs(append([]string{"frontend", "--id", "f1", "--data", t.TempDir()}, args...))
		root.SetErr(out)
		if code := cli.Run(ctx, root); code != cli.ExitOK || strings.Contains(out.String(), "new group") ||
			strings.Contains(out.String(), "err=") {
			t.Errorf("%s: exit code %d\n%s", what, code, out)
		}
	}
}

func TestAPeerAddressThatOtherMachinesCannotReachIsLogged(t *testing.T) {
	for line, want := range map[string]bool{
		"--http 192.0.2.1:8001":                       true,
		"--http :8001 --peer localhost:9001":          true,
		"--http 192.0.2.1:8001 --peer 192.0.2.1:9001": false,
		"--http 127.0.0.1:8001 --peer 127.0.0.1:9001": false,
	} {
		args := append([]string{"frontend", "--id", "f1", "--data", t.TempDir(), "--public-url", "https://scores.example",
			"--join", "https://127.0.0.1:2"}, strings.Fields(line)...)
		code, _, errs, _ := run(t, answers("{}"), args...) // it has no token to join with
		if got := strings.Contains(errs, "other machines cannot reach"); code != cli.ExitUsage || got != want {
			t.Errorf("%s: exit code %d, logged %t; want %t\n%s", line, code, got, want, errs)
		}
	}
}

func TestASettingOfAFrontendThatHasNoEffectIsWrongUsage(t *testing.T) {
	for want, more := range map[string][]string{
		"--join-token has no effect": {"--insecure", "--join", "http://127.0.0.1:2", "--join-token", "x"},
		"--join is empty":            {"--bootstrap", "--join", ""},
		"--replace has no effect":    {"--bootstrap", "--insecure", "--replace"},
	} {
		args := append([]string{"frontend", "--id", "f1", "--data", t.TempDir()}, more...)
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, stderr %q; want %q", more, code, errs, want)
		}
	}
}

func TestNothingIsMadeWithoutTheCertificateForClients(t *testing.T) {
	for line, want := range map[string]int{
		"--tls-cert none.pem --tls-key none.key": cli.ExitFailed,
		"--tls-cert none.pem":                    cli.ExitUsage,
	} {
		dir := filepath.Join(t.TempDir(), "data")
		args := append([]string{"frontend", "--id", "f1", "--data", dir, "--bootstrap", "--http", "127.0.0.1:0"},
			strings.Fields(line)...)
		if code, _, errs, _ := run(t, answers("{}"), args...); code != want {
			t.Errorf("%s: exit code %d, stderr %q", line, code, errs)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it has made its data directory (%v)", line, err)
		}
	}
}

func TestEachListOfProxiesHasAnEffect(t *testing.T) {
	var f frontendFlags
	command := &cobra.Command{}
	f.add(command)
	err := command.ParseFlags([]string{"--proxies", "10.1.0.0/16, 10.2.3.4", "--proxies", "2001:db8::/32",
		"--proxies", "::ffff:10.3.0.0/112, ::ffff:10.4.0.1, fe80::1%eth0"})
	const want = "[10.1.0.0/16 10.2.3.4/32 2001:db8::/32 10.3.0.0/16 10.4.0.1/32 fe80::1/128]"
	if got := fmt.Sprint(f.API.Limits.Proxies); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestAFrontendThatMakesAGroupHasAVote(t *testing.T) {
	for _, more := range []string{"", " --insecure", " --join http://127.0.0.1:8001"} {
		args := []string{"frontend", "--id", "f1", "--data", t.TempDir(), "--bootstrap", "--nonvoter"}
		args = append(args, strings.Fields(more)...)
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage ||
			!strings.Contains(errs, "--nonvoter") {
			t.Errorf("%q: exit code %d, stderr %q", args, code, errs)
		}
	}
}

func TestAnOriginThatNoBrowserSendsIsWrongUsage(t *testing.T) {
	for _, origin := range []string{"scores.example", "*", "null", "https://scores.example/live", "ftp://scores.example",
		"https://scores.example,press.example"} {
		args := []string{"frontend", "--id", "f1", "--data", t.TempDir(), "--bootstrap", "--cors-origin", origin}
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage ||
			!strings.Contains(errs, "--cors-origin: ") || !strings.Contains(errs, "such as https://scores.example") {
			t.Errorf("%s: exit code %d, stderr %q; want wrong usage", origin, code, errs)
		}
		t.Setenv("LAUREL_CORS_ORIGIN", origin)
		if code, _, errs, _ := run(t, answers("{}"), args[:6]...); code != cli.ExitUsage {
			t.Errorf("LAUREL_CORS_ORIGIN=%s: exit code %d, stderr %q; want wrong usage", origin, code, errs)
		}
	}
	f := frontendFlags{metrics: metricsAtHTTP}
	f.Member.ID, f.Member.Dir, f.Member.TimeScale, f.Member.Peer, f.HTTP = "f1", "d", 1, "f1:9001", "f1:8001"
	f.API.Origins = []string{"https://Scores.example:443/", "http://press.example:8080"}
	if err := f.check(); err != nil || f.API.Origins[0] != "https://scores.example" ||
		f.API.Origins[1] != "http://press.example:8080" {
		t.Errorf("got %q (%v)", f.API.Origins, err)
	}
}

func TestLogLinesNameTheFrontendAndTheFirstOneTheVersion(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") // so that it ends at once
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	code, _, errs, _ := run(t, answers(""), "frontend", "--id", "f7", "--data", dir, "--bootstrap", "--insecure",
		"--http", taken.Addr().String(), "--peer", "127.0.0.1:0")
	if code != cli.ExitFailed {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	var lines []string
	for line := range strings.Lines(errs) {
		if strings.HasPrefix(line, "time=") {
			lines = append(lines, line)
		}
	}
	if len(lines) < 2 {
		t.Fatalf("got the lines %q", lines)
	}
	for _, want := range []string{"msg=starting", "version=" + cli.Version(), "data=" + dir, "http=" + taken.Addr().String()} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("the first line lacks %s: %s", want, lines[0])
		}
	}
	for _, line := range lines {
		if !strings.Contains(line, " frontend=f7") {
			t.Errorf("the line does not name the frontend: %s", line)
		}
	}
}

func TestLinesOfAFrontendsLogAreBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20) // the first line has the directory, in which it cannot start
	code, _, errs, _ := run(t, answers(""), "frontend", "--id", "f7", "--data", long, "--bootstrap", "--insecure",
		"--http", "127.0.0.1:0", "--peer", "127.0.0.1:0")
	if code != cli.ExitFailed || !strings.Contains(errs, "msg=starting") {
		t.Fatalf("exit code %d\n%.1000s", code, errs)
	}
	for line := range strings.Lines(errs) {
		if strings.HasPrefix(line, "time=") && len(line) > 4*boundlog.MaxValue {
			t.Errorf("a line of %d bytes: %.200s", len(line), line)
		}
	}
}
