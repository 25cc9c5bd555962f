package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"laurel/fsm/archive"
	"laurel/internal/fakes3"
)

// bucketHas waits until a bucket has a whole backup of a revision or a later one.
func bucketHas(t testing.TB, bucket *fakes3.Bucket, revision uint64) {
	t.Helper()
	eventually(t, fmt.Sprint("there is a backup of revision ", revision), func() error {
		keys := bucket.Keys()
		for _, key := range keys {
			if strings.HasSuffix(key, "foreign") {
				continue
			}
			backup := bucket.Object(key)
			if backup == nil {
				continue // deleted by now, for newer ones
			}
			info, err := archive.Inspect(bytes.NewReader(backup))
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			name := fmt.Sprintf("og/laurel-%s-%d-%s.snap.gz", info.Lineage, info.Revision, info.Time.Format("20060102T150405Z"))
			if key != name {
				t.Fatalf("the backup %s has %+v", key, info)
			}
			if info.Revision >= revision {
				return nil
			}
		}
		return fmt.Errorf("there are %q; refused: %q", keys, bucket.Wrong())
	})
}

func TestBackupsGoOnAtTheNextMaster(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	bucket := new(fakes3.Bucket)
	service := httptest.NewServer(bucket)
	t.Cleanup(service.Close)
	bucket.Set("og/foreign", nil)
	bucket.Set("foreign", nil)
	g := newGroup(t, 3,
		"LAUREL_BACKUP=s3://"+fakes3.Name+"/og?every=1s&keep=2&region="+fakes3.Region+"&endpoint="+service.URL,
		"AWS_ACCESS_KEY_ID="+fakes3.AccessKey, "AWS_SECRET_ACCESS_KEY="+fakes3.Secret)
	foreign := func() (n int) {
		for _, key := range bucket.Keys() {
			if strings.HasSuffix(key, "foreign") {
				n++
			}
		}
		return n
	}
	postAlert := func(f *frontend, n int) uint64 {
		t.Helper()
		return apply(t, f, fmt.Sprintf(`{"id":"a%d","source":"bard/a","seq":%d,"type":"alert","contest_id":"OG50BC/1",`+
			`"time":"2026-02-09T10:16:40Z","data":{"text":"rain"}}`, n, n)).Revision
	}
	// makers returns the frontends that have logged a backup.
	makers := func() (list []*frontend) {
		for _, f := range g.frontends {
			if f.logged(t, "backup made") {
				list = append(list, f)
			}
		}
		return list
	}
	bucketHas(t, bucket, postAlert(g.frontends[0], 1))
	// On a busy machine the mastership may go to another one at any time.
	var killed *frontend
	eventually(t, "a master has made a backup", func() error {
		list := makers()
		if len(list) == 0 {
			return errors.New("nobody has logged one")
		}
		killed = list[0]
		return nil
	})
	killed.Kill()
	next := g.running()[0]
	for n := 2; n <= 4; n++ {
		bucketHas(t, bucket, postAlert(next, n))
	}
	eventually(t, "another master has made a backup", func() error {
		if len(makers()) < 2 {
			return errors.New("nobody else has logged one")
		}
		return nil
	})
	eventually(t, "two backups are kept", func() error {
		if n := len(bucket.Keys()) - foreign(); n != 2 {
			return fmt.Errorf("there are %q", bucket.Keys())
		}
		return nil
	})
	if foreign() != 2 || len(bucket.Wrong()) > 0 {
		t.Errorf("there are %q; refused: %q", bucket.Keys(), bucket.Wrong())
	}
	for _, f := range makers() {
		if !f.logged(t, "this frontend is the master") {
			t.Errorf("%s has made a backup and was never the master", f.id)
		}
	}
	for _, f := range g.frontends {
		if f.logged(t, fakes3.Secret) {
			t.Errorf("the log of %s has the secret", f.id)
		}
		eventually(t, f.id+" has left no file", func() error {
			left, err := filepath.Glob(filepath.Join(f.data, ".laurel-backup-*"))
			if err == nil && len(left) > 0 && f != killed {
				err = fmt.Errorf("there are %q", left)
			}
			return err
		})
	}
}

// logged reports whether the log of a frontend has some words.
func (f *frontend) logged(t testing.TB, words string) bool {
	t.Helper()
	return strings.Contains(f.output(t), words)
}
