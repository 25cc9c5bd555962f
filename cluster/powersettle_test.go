package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// settle returns lines for a recording with the results of the calls that the end of the
// process interrupted. It finds them in the files, to which nothing else has written yet.
func (t *powerTrace) settle() (lines []string, err error) {
	threads := slices.SortedFunc(maps.Keys(t.begun), func(a, b string) int {
		return t.begun[a].begin - t.begun[b].begin
	})
	for i, thread := range threads {
		c := t.begun[thread]
		value, err := t.resultOf(c)
		if err != nil {
			return nil, fmt.Errorf("%w in the interrupted %s(%.300s", err, c.name, c.text)
		}
		if value < 0 {
			continue
		}
		if c.name == "openat" {
			value = 1<<20 + i // a number that no other descriptor has
		}
		lines = append(lines, fmt.Sprintf("%s <... %s resumed>) = %d", thread, c.name, value))
	}
	return lines, nil
}

// resultOf returns the result of an interrupted call, -1 if the call had no effect.
func (t *powerTrace) resultOf(c begunCall) (value int, err error) {
	args := splitArgs(strings.TrimSuffix(strings.TrimRight(c.text, " "), ")"))
	switch c.name {
	case "pwrite64", "write", "ftruncate", "fallocate":
		fd, err := strconv.Atoi(args[0])
		f := t.files[fd]
		if err != nil || f == nil || f.marks {
			return -1, nil
		}
		b, err := os.ReadFile(t.disk.pathOf(f.in))
		if err != nil {
			return -1, err
		}
		return t.fileResult(f, c.name, args, b)
	case "openat", "mkdirat", "unlinkat", "renameat", "renameat2", "linkat":
		if c.name == "linkat" {
			args = args[2:]
		}
		path, err := t.path(args[0], args[1])
		if err != nil {
			return -1, err
		}
		was, _, _, ok := t.disk.find(path)
		info, err := os.Lstat(path)
		gone := errors.Is(err, fs.ErrNotExist)
		truncated := !gone && info.Size() == 0 &&
			strings.HasPrefix(c.name, "open") && strings.Contains(args[2], "O_TRUNC")
		if ok && ((was != nil) == gone || truncated) {
			return 0, nil
		}
	}
	return -1, nil
}

// fileResult returns the result of a call that changes a file whose content is now b.
func (t *powerTrace) fileResult(f *openFile, name string, args []string, b []byte) (value int, err error) {
	number := func(i int) int64 {
		n, failed := strconv.ParseInt(args[i], 0, 64)
		err = errors.Join(err, failed)
		return n
	}
	done := false
	switch name {
	case "ftruncate":
		done = int64(len(b)) == number(1)
	case "fallocate":
		done = int64(len(b)) >= number(2)+number(3)
	default:
		data, failed := unhex(args[1])
		err = failed
		at := f.at
		if name == "pwrite64" {
			at = number(3)
		}
		value = len(data)
		done = at+int64(value) <= int64(len(b)) && string(b[at:at+int64(value)]) == string(data)
	}
	if !done {
		value = -1
	}
	return value, err
}
