package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/internal/fakes3"
)

// targets returns a target of each kind that is empty. what is made before it is sent is in
// the directory spool.
func targets(t *testing.T) (all map[string]Target, fake *fakes3.Bucket, dir, spool string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", fakes3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", fakes3.Secret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	fake = new(fakes3.Bucket)
	s := httptest.NewServer(fake)
	t.Cleanup(s.Close)
	dir, spool = filepath.Join(t.TempDir(), "new", "back [ups"), t.TempDir()
	all = map[string]Target{}
	for kind, text := range map[string]string{
		"file": "file://" + strings.NewReplacer(" ", "%20", "[", "%5B").Replace(dir),
		"s3":   "s3://" + fakes3.Name + "/all/backups?region=" + fakes3.Region + "&endpoint=" + s.URL,
	} {
		p, err := ParseURL(text, spool)
		if err != nil {
			t.Fatal(err)
		}
		all[kind] = p.Target
	}
	return all, fake, dir, spool
}

// writes returns a function that writes a file.
func writes(name, content string) func(io.Writer) (string, error) {
	return func(w io.Writer) (string, error) {
		_, err := io.WriteString(w, content)
		return name, err
	}
}

func TestATargetKeepsListsAndDeletesFiles(t *testing.T) {
	all, fake, dir, spool := targets(t)
	for kind, target := range all {
		ctx := t.Context()
		if names, err := target.List(ctx, "laurel-"); err != nil || len(names) > 0 {
			t.Errorf("%s: an empty target has %q (%v)", kind, names, err)
		}
		for _, name := range []string{"laurel-1", "laurel-2", "other"} {
			if size, err := target.Put(ctx, writes(name, "content of "+name)); err != nil || size != int64(len("content of "+name)) {
				t.Fatalf("%s: put %s: %d, %v", kind, name, size, err)
			}
		}
		if err := target.Delete(ctx, "laurel-1"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		names, err := target.List(ctx, "laurel-")
		if err != nil || !slices.Equal(names, []string{"laurel-2"}) {
			t.Errorf("%s has %q (%v)", kind, names, err)
		}
	}
	if got := fake.Object("all/backups/laurel-2"); string(got) != "content of laurel-2" {
		t.Errorf("the object is %q; refused: %q", got, fake.Wrong())
	}
	if got, err := os.ReadFile(filepath.Join(dir, "laurel-2")); string(got) != "content of laurel-2" {
		t.Errorf("the file is %q (%v)", got, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "laurel-2")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the file: %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("the spool has %v (%v)", left, err)
	}
}

func TestAFileThatIsNotWrittenToItsEndIsNotThere(t *testing.T) {
	all, fake, dir, spool := targets(t)
	for kind, target := range all {
		broken := errors.New("the snapshot ended")
		_, err := target.Put(t.Context(), func(w io.Writer) (string, error) {
			io.WriteString(w, "half")
			return "laurel-1", broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, d := range []string{dir, spool} {
		if left, err := os.ReadDir(d); err != nil || len(left) > 0 {
			t.Errorf("%s has %v (%v)", d, left, err)
		}
	}
	if keys := fake.Keys(); len(keys) > 0 {
		t.Errorf("there are the objects %q", keys)
	}
}

func TestWhatAProcessLeftIsRemovedUnlessAnotherMayBeWritingIt(t *testing.T) {
	all, _, dir, spool := targets(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, unfinished+"old")
	young := filepath.Join(dir, unfinished+"young")
	spooled := filepath.Join(spool, unfinished+"young")
	for _, path := range []string{old, young, spooled} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	for kind, target := range all {
		if _, err := target.Put(t.Context(), writes("laurel-1", "content")); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for path, stays := range map[string]bool{old: false, young: true, spooled: false} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestATransferEndsWithItsContext(t *testing.T) {
	all, fake, _, spool := targets(t)
	ctx, cancel := context.WithCancel(t.Context())
	fake.Hang = func(r *http.Request) { cancel(); <-r.Context().Done() }
	if _, err := all["s3"].Put(ctx, writes("laurel-1", "content")); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("the spool has %v (%v)", left, err)
	}
}

func TestWhatATargetRefusesIsToldApartFromFailures(t *testing.T) {
	all, fake, dir, _ := targets(t)
	fake.Refuse = []string{http.MethodGet, http.MethodDelete}
	if _, err := all["s3"].List(t.Context(), ""); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("s3: listing gives %v", err)
	}
	if err := all["s3"].Delete(t.Context(), "laurel-1"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("s3: deleting gives %v", err)
	}
	if err := all["file"].Delete(t.Context(), "laurel-1"); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("file: deleting what is not in %s gives %v", dir, err)
	}
	if err := refused(fmt.Errorf("remove it: %w", os.ErrPermission), os.ErrPermission); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("file: a denial is %v", err)
	}
}
