package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tracedCalls are the system calls that change files, or that say which file a descriptor is of.
const tracedCalls = "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync," +
	"sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat," +
	"copy_file_range,sendfile,splice,close,dup,dup2,dup3,lseek"

// powerTrace reads what strace writes and makes a powerDisk of it. The lines of one process after
// another, on the same files, are read as one recording.
type powerTrace struct {
	disk  *powerDisk
	files map[int]*openFile
	// told is called with what is written to the file of that name, which is not on the disk.
	marks string
	told  func(at int, line []byte) error
	begun map[string]begunCall // by thread
}

type openFile struct {
	in     *powerInode
	at     int64
	append bool
	marks  bool
}

type begunCall struct {
	begin int
	name  string
	text  string
}

// read takes in what one process did.
func (t *powerTrace) read(r io.Reader) error {
	t.files, t.begun = map[int]*openFile{}, map[string]begunCall{}
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			t.disk.last++
			if err := t.line(line); err != nil {
				return fmt.Errorf("%w in %.300q", err, line)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// killedResult, or a question mark, is the result of a call within which the process was killed.
const killedResult = " = -1 (errno "

func (t *powerTrace) line(line string) error {
	thread, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimLeft(rest, " ")
	at := t.disk.last
	if strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
		return nil
	}
	if resumed, ok := strings.CutPrefix(rest, "<... "); ok {
		c, ok := t.begun[thread]
		if !ok {
			return errors.New("a call that did not begin is resumed")
		}
		_, tail, _ := strings.Cut(resumed, "resumed>")
		if strings.HasSuffix(tail, " = ?") || strings.Contains(tail, killedResult) {
			return nil
		}
		delete(t.begun, thread)
		return t.ended(span{c.begin, at}, c.name, c.text+tail)
	}
	name, text, ok := strings.Cut(rest, "(")
	if !ok {
		return errors.New("there is no call")
	}
	text, began := strings.CutSuffix(text, " <unfinished ...>")
	text, killed := strings.CutSuffix(text, " <detached ...>")
	if body, _, dead := strings.Cut(strings.Replace(text, killedResult, " = ?", 1), " = ?"); dead {
		text, killed = strings.TrimSuffix(strings.TrimRight(body, " "), ")"), true
	}
	if began || killed {
		t.begun[thread] = begunCall{at, name, text}
		if name == "close" {
			t.closed(text)
		}
		return nil
	}
	if name == "close" {
		t.closed(text)
	}
	return t.ended(span{at, at}, name, text)
}

func (t *powerTrace) closed(text string) {
	if fd, err := strconv.Atoi(strings.TrimRight(text[:strings.IndexAny(text+")", ",)")], " ")); err == nil {
		delete(t.files, fd)
	}
}

// ended takes in a call whose result is known.
func (t *powerTrace) ended(s span, name, text string) error {
	i := strings.LastIndex(text, " = ")
	if i < 0 {
		return errors.New("there is no result")
	}
	result, _, _ := strings.Cut(text[i+3:], " ")
	value, err := strconv.ParseInt(result, 0, 64)
	if err != nil || value < 0 { // it failed, or the process ended
		return nil
	}
	args := splitArgs(strings.TrimSuffix(strings.TrimRight(text[:i], " "), ")"))
	return t.call(s, name, args, value)
}

// splitArgs splits at commas. Strings have none, for all their bytes are in hexadecimal.
func splitArgs(s string) []string {
	args := strings.Split(s, ",")
	for i := range args {
		args[i] = strings.TrimSpace(args[i])
	}
	return args
}

func unhex(s string) ([]byte, error) {
	s = strings.TrimPrefix(s, `"`)
	s, ok := strings.CutSuffix(s, `"`)
	if !ok || len(s)%4 != 0 {
		return nil, fmt.Errorf("the string %.40s is cut", s)
	}
	b := make([]byte, len(s)/4)
	for i := range b {
		hi, lo := nibble(s[4*i+2]), nibble(s[4*i+3])
		if s[4*i] != '\\' || s[4*i+1] != 'x' || hi > 15 || lo > 15 {
			return nil, fmt.Errorf("the string has %q", s[4*i:4*i+4])
		}
		b[i] = hi<<4 | lo
	}
	return b, nil
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// path returns the path that a descriptor of a directory and a name make.
func (t *powerTrace) path(dir, name string) (string, error) {
	b, err := unhex(name)
	if err != nil || filepath.IsAbs(string(b)) {
		return string(b), err
	}
	fd, err := strconv.Atoi(dir)
	if err != nil { // relative to the working directory, in which none of these files is
		return "", nil
	}
	f := t.files[fd]
	if f == nil {
		return "", nil
	}
	return filepath.Join(t.disk.pathOf(f.in), string(b)), nil
}

// pathOf returns where a file or a directory is now, "" if it was removed.
func (d *powerDisk) pathOf(in *powerInode) string {
	var look func(p *powerInode, path string) string
	look = func(p *powerInode, path string) string {
		if p == in {
			return path
		}
		for name, child := range p.names {
			if child.dir || child == in {
				if found := look(child, filepath.Join(path, name)); found != "" {
					return found
				}
			}
		}
		return ""
	}
	return look(d.root, d.root.path)
}

func (t *powerTrace) call(s span, name string, args []string, value int64) error {
	number := func(i int) int64 {
		n, err := strconv.ParseInt(args[i], 0, 64)
		if err != nil {
			return -1
		}
		return n
	}
	var f *openFile
	if fd, err := strconv.Atoi(args[0]); err == nil {
		f = t.files[fd]
	}
	switch name {
	case "openat":
		return t.open(s, args, int(value))
	case "write", "pwrite64":
		if f == nil {
			return nil
		}
		b, err := unhex(args[1])
		if err != nil {
			return err
		}
		if int64(len(b)) < value {
			return errors.New("not all of it was recorded")
		}
		at := f.at
		if name == "pwrite64" {
			at = number(3)
		}
		return t.wrote(s, f, at, b[:value], name == "write")
	case "lseek":
		if f != nil {
			f.at = value
		}
	case "ftruncate", "fallocate":
		if f == nil {
			return nil
		}
		change := powerChange{span: s, at: number(1), resize: true}
		if name == "fallocate" {
			if number(1) != 0 || args[1] != "0" {
				return errors.New("only plain preallocation is known")
			}
			change = powerChange{span: s, at: number(2) + number(3), grow: true}
		}
		f.in.changes = append(f.in.changes, change)
	case "fsync", "fdatasync":
		if f != nil {
			f.in.syncs = append(f.in.syncs, s)
		}
	case "mkdirat":
		return t.named(args[0], args[1], func(in, parent *powerInode, name string) error {
			parent.put(s, name, &powerInode{path: name, dir: true, names: map[string]*powerInode{}})
			return nil
		})
	case "unlinkat":
		return t.named(args[0], args[1], func(in, parent *powerInode, name string) error {
			parent.remove(s, name)
			return nil
		})
	case "renameat", "renameat2":
		to, err := t.path(args[2], args[3])
		if err != nil {
			return err
		}
		return t.named(args[0], args[1], func(in, parent *powerInode, name string) error {
			_, other, newName, ok := t.disk.find(to)
			if !ok || other != parent || in == nil {
				return errors.New("only a rename within a directory is known")
			}
			parent.move(s, name, newName)
			return nil
		})
	case "linkat":
		to, err := t.path(args[2], args[3])
		if err != nil {
			return err
		}
		_, parent, newName, ok := t.disk.find(to)
		return t.named(args[0], args[1], func(in, _ *powerInode, _ string) error {
			if !ok || in == nil {
				return errors.New("only a link within the disk is known")
			}
			parent.put(s, newName, in)
			return nil
		})
	case "close":
	default:
		if f != nil || t.onDisk(args) {
			return errors.New("this call is not known")
		}
	}
	return nil
}

// onDisk reports whether a path among the arguments is on the disk.
func (t *powerTrace) onDisk(args []string) bool {
	for _, a := range args {
		if b, err := unhex(a); err == nil {
			if _, _, _, ok := t.disk.find(string(b)); ok {
				return true
			}
		}
	}
	return false
}

func (t *powerTrace) named(dir, name string, f func(in, parent *powerInode, name string) error) error {
	path, err := t.path(dir, name)
	if err != nil {
		return err
	}
	in, parent, base, ok := t.disk.find(path)
	if !ok || parent == nil {
		return nil
	}
	return f(in, parent, base)
}

func (t *powerTrace) open(s span, args []string, fd int) error {
	delete(t.files, fd)
	path, err := t.path(args[0], args[1])
	if err != nil {
		return err
	}
	in, parent, name, ok := t.disk.find(path)
	if !ok {
		return nil
	}
	if in == nil && !strings.Contains(args[2], "O_CREAT") { // it was removed since this call began
		in = parent.gone[name]
	} else if in == nil {
		in = &powerInode{path: path}
		parent.put(s, name, in)
	} else if strings.Contains(args[2], "O_TRUNC") {
		in.changes = append(in.changes, powerChange{span: s, resize: true})
	}
	if in == nil {
		return errors.New("there is no such file")
	}
	t.files[fd] = &openFile{in: in, append: strings.Contains(args[2], "O_APPEND"), marks: name == t.marks}
	return nil
}

func (t *powerTrace) wrote(s span, f *openFile, at int64, b []byte, moves bool) error {
	if f.marks {
		return t.told(s.end, b)
	}
	if f.append {
		return errors.New("appending is not known")
	}
	if moves {
		f.at = at + int64(len(b))
	}
	f.in.changes = append(f.in.changes, powerChange{span: s, at: at, data: b})
	return nil
}

// settle adds to a recording what became of the calls that the end of the process has interrupted.
// The files tell, for nothing else has written to them yet.
func (t *powerTrace) settle() (lines []string, err error) {
	threads := slices.SortedFunc(maps.Keys(t.begun), func(a, b string) int { return t.begun[a].begin - t.begun[b].begin })
	for i, thread := range threads {
		c := t.begun[thread]
		value, err := t.carriedOut(c)
		if err != nil {
			return nil, fmt.Errorf("%w in the interrupted %s(%.300s", err, c.name, c.text)
		}
		if value < 0 {
			continue
		}
		if c.name == "openat" {
			value = 1<<20 + i // no other descriptor has that number
		}
		lines = append(lines, fmt.Sprintf("%s <... %s resumed>) = %d", thread, c.name, value))
	}
	return lines, nil
}

// carriedOut returns the result of an interrupted call, or -1 if it was not carried out.
func (t *powerTrace) carriedOut(c begunCall) (value int, err error) {
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
		return t.written(f, c.name, args, b)
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
		if ok && (was != nil) == gone || ok && !gone && strings.HasPrefix(c.name, "open") && strings.Contains(args[2], "O_TRUNC") && info.Size() == 0 {
			return 0, nil
		}
	}
	return -1, nil
}

// written returns the result of a call that changes a file, which has b in it now.
func (t *powerTrace) written(f *openFile, name string, args []string, b []byte) (value int, err error) {
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
