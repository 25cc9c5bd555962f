package e2e

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/cmd/laurel/doctor"
)

// asOperator returns the environment of an operator of the group, at the machine of one of its
// frontends.
func (g *secureGroup) asOperator(f *frontend) []string {
	g.t.Helper()
	ca := filepath.Join(g.dir, "ca.pem")
	if o := command(g.t, "laurel", "cluster", "ca", "--to", "http://"+f.http, "--out", ca); o.code != 0 {
		g.t.Fatal(o)
	}
	return append(g.env, "LAUREL_URL=https://"+f.http, "LAUREL_CA="+ca, "LAUREL_TOKEN="+g.operator, "LAUREL_DATA="+f.data,
		"LAUREL_HTTP="+f.http, "LAUREL_PEER="+f.peer)
}

// examine runs laurel doctor at a frontend's machine, and returns what is not ok.
func (g *secureGroup) examine(f *frontend) (wrong map[string][]doctor.Result) {
	g.t.Helper()
	o := commandEnv(g.t, g.asOperator(f), "laurel", "doctor", "--json")
	var results []doctor.Result
	if err := json.Unmarshal([]byte(o.out), &results); err != nil || len(results) < 10 {
		g.t.Fatalf("%v\n%v", err, o)
	}
	if failed := doctor.Failed(results) > 0; failed != (o.code == 1) {
		g.t.Errorf("%v", o)
	}
	wrong = map[string][]doctor.Result{}
	for _, r := range results {
		if r.Status != doctor.OK {
			wrong[r.Check] = append(wrong[r.Check], r)
		}
	}
	// What this machine is like, and how busy, is not the group's matter.
	for _, check := range []string{"clock", "open files", "disk", "room", "file system"} {
		delete(wrong, check)
	}
	return wrong
}

func TestDoctorAndDebugZipOfASecureGroup(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	f, down := g.frontends[0], g.frontends[2]
	f.stop()
	debug := freePort(t)
	f.more = append(f.more, "--debug", debug)
	f.start().waitReady()
	g.post(f)
	// The doctor waits a few seconds for an answer, for which a busy machine may hold up a frontend.
	eventually(t, "the doctor finds a group that is well", func() error {
		if wrong := g.examine(f); len(wrong) > 0 {
			return fmt.Errorf("it says %v", wrong)
		}
		return nil
	})
	down.Kill()
	eventually(t, "the doctor finds that "+down.id+" is down", func() error {
		wrong := g.examine(f)
		if len(wrong["frontend"]) != 1 || !strings.Contains(wrong["frontend"][0].Found, down.http) ||
			len(wrong["peer"]) != 1 || !strings.Contains(wrong["peer"][0].Found, down.peer) {
			return fmt.Errorf("it says %v", wrong)
		}
		return nil
	})

	out, n := "", 0
	env := append(g.asOperator(f), "LAUREL_DEBUG="+debug)
	var z *zip.ReadCloser
	found := map[string]bool{}
	eventually(t, "the file has all but "+down.id, func() (err error) {
		n++
		out = filepath.Join(g.dir, fmt.Sprintf("laurel-%d.zip", n))
		o := commandEnv(t, env, "laurel", "debug", "zip", "--out", out)
		if o.code != 0 || !strings.Contains(o.err, down.id+" is not in it") {
			t.Fatal(o)
		}
		if z != nil {
			z.Close()
		}
		if z, err = zip.OpenReader(out); err != nil {
			t.Fatal(err)
		}
		clear(found)
		for _, file := range z.File {
			found[file.Name] = true
		}
		for _, name := range []string{
			"manifest.json", "doctor.json", "environment.txt", "frontends/f1/metrics.txt", "frontends/f2/cluster.json",
			"profiles/goroutines.txt", "profiles/heap.pb.gz", "profiles/cpu.pb.gz",
		} {
			if !found[name] {
				return fmt.Errorf("%s is missing: %v", name, o)
			}
		}
		return nil
	})
	defer z.Close()
	for _, file := range z.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(g.logs, strings.ReplaceAll(file.Name, "/", "-")+".log"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.expectSecretsKept()
}
