package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"laurel/internal/cli"
)

const (
	// enoughFiles is for 12,000 watchers with connections of their own, and what else a
	// frontend has open.
	enoughFiles, fewFiles = 16_384, 1024
	// A slow disk delays commits. One that takes as long as an election timeout lets
	// masters come and go.
	slowSync, deadSync = 50 * time.Millisecond, 200 * time.Millisecond
	syncs, syncTime    = 100, 10 * time.Second
	// logRoom is the room that the log and its next file may take; postRoom is what a
	// frontend without snapshot and database needs to accept posts.
	logRoom, postRoom = 600 << 20, 96 << 20
	day               = 24 * time.Hour
)

func checkVersion() Result {
	return ok("version", "laurel %s, %s %s/%s", cli.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func checkOpenFiles(e *Environment) Result {
	const check, advice = "open files", "set LimitNOFILE=65536 in the unit, or ulimit -n 65536"
	limit, err := e.OpenFiles()
	switch {
	case err != nil:
		return ok(check, "the limit is not known here (%v)", err)
	case limit < fewFiles:
		return found(check, Fail, advice, "the limit is %d", limit)
	case limit < enoughFiles:
		return found(check, Warn, advice,
			"the limit is %d, and 12,000 watchers and the connections of bards need more", limit)
	}
	return ok(check, "the limit is %d", limit)
}

func checkClock(e *Environment) Result {
	synced, err := e.ClockSynced()
	switch {
	case err != nil:
		return ok("clock", "whether it is synchronised is not known here (%v)", err)
	case !synced:
		return found("clock", Warn, "run chrony, systemd-timesyncd or another NTP client",
			"the kernel says that it is not synchronised")
	}
	return ok("clock", "synchronised")
}

func checkDirectory(e *Environment, dir string) Result {
	const check = "data"
	info, err := e.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ok(check, "%s does not exist; the frontend makes it", dir)
	case err != nil:
		return found(check, Fail, "run this as the frontend's user", "%v", err)
	case !info.IsDir():
		return found(check, Fail, "name a directory", "%s is no directory", dir)
	}
	if err := e.TryWrite(dir); err != nil {
		return found(check, Fail, "make it writable for the frontend's user, and run this as that user", "%v", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return found(check, Warn, "chmod 700 it; the frontend does so when it starts",
			"%s has mode %o: it has private keys", dir, mode)
	}
	return ok(check, "%s, only for its owner", dir)
}

// existing returns the nearest directory above dir that exists.
func existing(e *Environment, dir string) string {
	for {
		if _, err := e.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func checkFileSystem(e *Environment, dir string) Result {
	const check = "file system"
	kind, err := e.FileSystem(existing(e, dir))
	if err != nil {
		return ok(check, "not known here (%v)", err)
	}
	switch kind {
	case "nfs", "smb", "9p":
		return found(check, Fail, "use a disk of this machine",
			"%s: the database is mapped to memory and locked, which is not safe over a network", kind)
	case "overlay":
		return found(check, Warn, "mount a volume at the data directory",
			"overlay: the data go when the container goes")
	case "tmpfs":
		return found(check, Warn, "use a disk", "tmpfs: the data are in memory and go with the machine's power")
	case "fuse":
		return found(check, Warn, "make sure that it keeps what fdatasync has confirmed", "fuse: a program serves it")
	}
	return ok(check, "%s", kind)
}

func checkRoom(e *Environment, dir string) Result {
	const check, advice = "room", "make room, or use a larger disk: when too few voters have room, posts are refused"
	free, err := e.Free(existing(e, dir))
	if err != nil {
		return ok(check, "not known here (%v)", err)
	}
	database := int64(0)
	if info, err := e.Stat(filepath.Join(dir, "state.db")); err == nil {
		database = info.Size()
	}
	mib := free >> 20
	switch {
	case free < postRoom+database:
		return found(check, Fail, advice, "%d MiB are free, too little for posts", mib)
	case free < logRoom+3*database: // snapshots, and a second database while one is received
		return found(check, Warn, advice, "%d MiB are free; log, snapshots and database may need %d", mib,
			(logRoom+3*database)>>20)
	}
	return ok(check, "%d MiB are free", mib)
}

func checkSync(e *Environment, dir string) Result {
	const check, advice = "disk", "use a faster disk, or one that nobody else writes to"
	if _, err := e.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return ok(check, "not measured: the directory does not exist")
	}
	times, err := e.Sync(dir, syncs, syncTime)
	if err != nil || len(times) == 0 {
		return found(check, Fail, "see whether the disk is full or failing", "writing and syncing a file failed: %v",
			err)
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	text := "writing 4 KiB to the disk took " + p99.Round(10*time.Microsecond).String() + " (p99)"
	switch {
	case p99 > deadSync:
		return found(check, Fail, advice, "%s: masters will not last", text)
	case p99 > slowSync:
		return found(check, Warn, advice, "%s: each post waits for it", text)
	}
	return ok(check, "%s", text)
}

func checkCertificate(e *Environment, p *Subject) Result {
	const check = "certificate"
	switch i := p.Identity; {
	case errors.Is(p.Unreadable, fs.ErrNotExist):
		return ok(check, "none: the frontend has not joined a secure group")
	case p.Unreadable != nil:
		return found(check, Fail, "read what the message says", "%v", p.Unreadable)
	case i == nil:
		return ok(check, "none")
	default:
		return expiry(check, e.Now(), i.RenewAt(), i.Expires(), "of "+i.Member)
	}
}

// expiry judges a certificate that is to be renewed at a time, and expires at another one.
func expiry(check string, now, renewal, end time.Time, of string) Result {
	left := end.Sub(now)
	switch {
	case left <= 0:
		return found(check, Fail, "see docs/operations.md: it needs another one, by its group or a join token",
			"the certificate %s expired at %s", of, end.UTC().Format(time.RFC3339))
	case now.After(renewal.Add(day)):
		return found(check, Warn, "let the frontend run, with a way to the master",
			"the certificate %s was to be renewed at %s and expires in %d days",
			of, renewal.UTC().Format(time.RFC3339), left/day)
	}
	return ok(check, "the certificate %s is valid for %d days", of, left/day)
}

// writeAndSync writes n times 4 KiB to a file in dir, waits for the disk each time, and
// removes the file. It ends early after limit.
func writeAndSync(dir string, n int, limit time.Duration) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4096)
	for begun := time.Now(); len(times) < n && time.Since(begun) < limit; {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := dataSync(f); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// tryWrite makes a file in dir and removes it.
func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
