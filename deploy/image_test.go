package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// unpackImage returns a directory with the files of the image of this machine, as written and read again,
// and its configuration.
func unpackImage(t *testing.T) (dir string, config *v1.ConfigFile) {
	t.Helper()
	needsRoot(t)
	r, out := theRelease(t), t.TempDir()
	if err := r.writeImage(t.Context(), []target{{"linux", native.arch}}, out); err != nil {
		t.Fatal(err)
	}
	written, err := os.Open(filepath.Join(out, "laurel_"+r.version+"_image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer written.Close()
	packed := t.TempDir()
	unpack(t, written, packed)
	list, err := layout.ImageIndexFromPath(packed)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(list); err != nil {
		t.Fatal(err)
	}
	outer, err := list.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := list.ImageIndex(outer.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(inner.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if config, err = img.ConfigFile(); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(img)
	defer files.Close()
	unpack(t, files, dir)
	return dir, config
}

// inImage returns a command that runs the entry point as a container would, with the files of the image only,
// but with the network of this machine.
func inImage(t *testing.T, dir string, config *v1.ConfigFile, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), config.Config.Entrypoint[0], args...)
	c.Dir, c.Env = config.Config.WorkingDir, config.Config.Env
	c.SysProcAttr = &syscall.SysProcAttr{
		Chroot: dir, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}, Pdeathsig: syscall.SIGKILL,
	}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 30 * time.Second
	return c
}

// freePort returns a port of the loopback interface that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await polls a URL until it answers with 200, whatever its certificate.
func await(t *testing.T, url string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer c.CloseIdleConnections()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		res, err := c.Get(url)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, %v", url, res, err)
		}
	}
}

func TestTheImageHasAllThatAFrontendNeeds(t *testing.T) {
	dir, config := unpackImage(t)
	if config.Config.User != fmt.Sprintf("%d:%d", imageUser, imageUser) || config.OS != "linux" ||
		config.Config.Labels["org.opencontainers.image.version"] != theRelease(t).version {
		t.Errorf("config %+v", config)
	}
	roots, err := os.ReadFile(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(roots) || bytes.Count(roots, []byte("BEGIN")) < 50 {
		t.Errorf("no certificates of authorities: %v", err)
	}
	if said, err := inImage(t, dir, config, "--version").CombinedOutput(); err != nil ||
		!strings.Contains(string(said), theRelease(t).build) {
		t.Errorf("laurel --version in the image: %v, %s", err, said)
	}
	if said, _ := inImage(t, dir, config, config.Config.Cmd...).CombinedOutput(); !strings.Contains(string(said), "--id") {
		t.Errorf("a frontend without an id says %s", said)
	}

	addr, log := freePort(t), new(bytes.Buffer)
	c := inImage(t, dir, config, "frontend", "--id", "f1", "--http", addr, "--peer", freePort(t), "--bootstrap")
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "https://"+addr+"/readyz")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil || strings.Contains(log.String(), "WARN") {
		t.Errorf("it ended with %v\n%s", err, log)
	}
	if _, err := os.Stat(filepath.Join(dir, "var/lib/laurel/member.json")); err != nil {
		t.Error(err)
	}
}

// The frontends run as in the pods: with the files of the image, the flags of the manifest, and a secret that
// is root's. Only the addresses are others, because here they share the loopback interface.
func TestTheGroupOfTheManifestsFormsByItself(t *testing.T) {
	dir, config := unpackImage(t)
	mountSecret(t, filepath.Join(dir, "etc/laurel/authority"))
	flags := readManifests(t).set.Spec.Template.Spec.Containers[0].Args
	var clients, peers, join []string
	for range 3 {
		addr := freePort(t)
		clients, peers, join = append(clients, addr), append(peers, freePort(t)), append(join, "https://"+addr)
	}
	var logs [3]bytes.Buffer
	var pods []*exec.Cmd
	for i := range logs {
		pod := fmt.Sprintf("laurel-%d", i)
		here := map[string]string{
			"--http": clients[i], "--peer": peers[i], "--peer-listen": peers[i], "--join": strings.Join(join, ","),
			"--data": "/var/lib/laurel/" + pod,
		}
		var args []string
		for _, arg := range flags {
			name, _, _ := strings.Cut(arg, "=")
			if value, other := here[name]; other {
				arg = name + "=" + value
			}
			args = append(args, strings.ReplaceAll(arg, "$(POD)", pod))
		}
		c := inImage(t, dir, config, args...)
		c.Stderr = &logs[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		pods = append(pods, c)
	}
	for _, url := range join {
		await(t, url+"/readyz")
	}
	for i, c := range pods {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("pod %d ended with %v\n%s", i, err, &logs[i])
		}
	}
}

// mountSecret makes a directory as Kubernetes mounts the secret that the head of the manifests names: its files
// are root's, and the group of the pod can read them.
func mountSecret(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(t.TempDir(), "authority")
	if _, err := theRelease(t).say(t.Context(), "laurel", "authority", "new", "--out", made); err != nil {
		t.Fatal(err)
	}
	head, err := os.ReadFile("kubernetes/laurel.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`--from-file=authority/(\S+)`).FindAllSubmatch(head, -1) {
		text, err := os.ReadFile(filepath.Join(made, string(m[1])))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, string(m[1]))
		if err := errors.Join(os.WriteFile(file, text, 0o440), os.Chown(file, 0, imageUser)); err != nil {
			t.Fatal(err)
		}
	}
}
