package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// tracedCalls are the system calls that change files, or the file of a descriptor.
const tracedCalls = "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate," +
	"fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink," +
	"symlinkat,copy_file_range,sendfile,splice,close,dup,dup2,dup3,lseek"

// powerTrace reads the output of strace into a recordedDisk. The output for several
// processes that ran one after another, on the same files, is one recording.
type powerTrace struct {
	disk  *recordedDisk
	files map[int]*openFile
	// marks is the name of the file with the marks, which is not part of the disk. onMark
	// is called with each line that is written to it.
	marks  string
	onMark func(at int, line []byte) error
	begun  map[string]begunCall // by thread
}

type openFile struct {
	in     *inode
	at     int64
	append bool
	marks  bool
}

type begunCall struct {
	begin int
	name  string
	text  string
}

// read reads the output for one process.
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

// killedResult, or a question mark, is the result of a call that the end of the process
// interrupted.
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
			return errors.New("resumed a call that did not begin")
		}
		_, tail, _ := strings.Cut(resumed, "resumed>")
		if strings.HasSuffix(tail, " = ?") || strings.Contains(tail, killedResult) || isShort(c, tail) {
			return nil
		}
		delete(t.begun, thread)
		return t.ended(span{c.begin, at}, c.name, c.text+tail)
	}
	name, text, ok := strings.Cut(rest, "(")
	if !ok {
		return errors.New("found no call")
	}
	text, began := strings.CutSuffix(text, " <unfinished ...>")
	text, killed := strings.CutSuffix(text, " <detached ...>")
	if body, _, dead := strings.Cut(strings.Replace(text, killedResult, " = ?", 1), " = ?"); dead {
		text, killed = strings.TrimSuffix(strings.TrimRight(body, " "), ")"), true
	}
	if began || killed {
		t.begun[thread] = begunCall{at, name, text}
		if name == "close" {
			t.close(text)
		}
		return nil
	}
	if name == "close" {
		t.close(text)
	}
	return t.ended(span{at, at}, name, text)
}

// isShort reports whether the result of a write is less than its length. The last line of a
// process can show that, with the result of another call, for a write that was done.
func isShort(c begunCall, tail string) bool {
	args := splitArgs(c.text)
	if (c.name != "write" && c.name != "pwrite64") || len(args) < 2 {
		return false
	}
	_, result, _ := strings.Cut(tail, " = ")
	n, err := strconv.Atoi(result)
	return err == nil && n >= 0 && n < len(args[1])/len(`\x00`)
}

func (t *powerTrace) close(text string) {
	if fd, err := strconv.Atoi(strings.TrimRight(text[:strings.IndexAny(text+")", ",)")], " ")); err == nil {
		delete(t.files, fd)
	}
}

// ended handles a call whose result is known.
func (t *powerTrace) ended(s span, name, text string) error {
	i := strings.LastIndex(text, " = ")
	if i < 0 {
		return errors.New("found no result")
	}
	result, _, _ := strings.Cut(text[i+3:], " ")
	value, err := strconv.ParseInt(result, 0, 64)
	if err != nil || value < 0 { // it failed, or the process ended
		return nil
	}
	args := splitArgs(strings.TrimSuffix(strings.TrimRight(text[:i], " "), ")"))
	return t.call(s, name, args, value)
}

// splitArgs splits arguments at commas. Strings contain none, because all their bytes are
// in hexadecimal.
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
		return nil, fmt.Errorf("the string %.40s is cut off", s)
	}
	b := make([]byte, len(s)/4)
	for i := range b {
		hi, lo := nibble(s[4*i+2]), nibble(s[4*i+3])
		if s[4*i] != '\\' || s[4*i+1] != 'x' || hi > 15 || lo > 15 {
			return nil, fmt.Errorf("the string contains %q", s[4*i:4*i+4])
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

// path returns the path of a name relative to the descriptor of a directory.
func (t *powerTrace) path(dir, name string) (string, error) {
	b, err := unhex(name)
	if err != nil {
		return "", err
	}
	if filepath.IsAbs(string(b)) {
		return filepath.Clean(string(b)), nil
	}
	fd, err := strconv.Atoi(dir)
	if err != nil { // relative to the working directory, which has none of these files
		return "", nil
	}
	f := t.files[fd]
	if f == nil {
		return "", nil
	}
	return filepath.Join(t.disk.pathOf(f.in), string(b)), nil
}

// pathOf returns the current path of a file or directory, "" if it was removed.
func (d *recordedDisk) pathOf(in *inode) string {
	var look func(p *inode, path string) string
	look = func(p *inode, path string) string {
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
			return errors.New("the write was not recorded completely")
		}
		at := f.at
		if name == "pwrite64" {
			at = number(3)
		}
		return t.write(s, f, at, b[:value], name == "write")
	case "lseek":
		if f != nil {
			f.at = value
		}
	case "ftruncate", "fallocate":
		if f == nil {
			return nil
		}
		change := diskChange{span: s, at: number(1), resize: true}
		if name == "fallocate" {
			if args[1] == "FALLOC_FL_KEEP_SIZE" { // it changes neither content nor size
				return nil
			}
			if number(1) != 0 || args[1] != "0" {
				return errors.New("this kind of fallocate is not supported")
			}
			change = diskChange{span: s, at: number(2) + number(3), grow: true}
		}
		f.in.changes = append(f.in.changes, change)
	case "fsync", "fdatasync":
		if f != nil {
			f.in.syncs = append(f.in.syncs, s)
		}
	case "mkdirat":
		return t.withPath(args[0], args[1], func(in, parent *inode, name string) error {
			parent.add(s, name, &inode{path: name, dir: true, names: map[string]*inode{}})
			return nil
		})
	case "unlinkat":
		return t.withPath(args[0], args[1], func(in, parent *inode, name string) error {
			parent.remove(s, name)
			return nil
		})
	case "renameat", "renameat2":
		to, err := t.path(args[2], args[3])
		if err != nil {
			return err
		}
		return t.withPath(args[0], args[1], func(in, parent *inode, name string) error {
			_, other, newName, ok := t.disk.find(to)
			if !ok || other != parent || in == nil {
				return errors.New("a rename into another directory is not supported")
			}
			parent.rename(s, name, newName)
			return nil
		})
	case "linkat":
		to, err := t.path(args[2], args[3])
		if err != nil {
			return err
		}
		_, parent, newName, ok := t.disk.find(to)
		return t.withPath(args[0], args[1], func(in, _ *inode, _ string) error {
			if !ok || in == nil {
				return errors.New("a link to another disk is not supported")
			}
			parent.add(s, newName, in)
			return nil
		})
	case "close":
	default:
		if f != nil || t.onDisk(args) {
			return errors.New("this call is not supported")
		}
	}
	return nil
}

// onDisk reports whether one of the arguments is a path on the disk.
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

// withPath calls f with the inode of a path, its directory and its name there, unless the
// path is not on the disk.
func (t *powerTrace) withPath(dir, name string, f func(in, parent *inode, name string) error) error {
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
	if in == nil && !strings.Contains(args[2], "O_CREAT") { // removed since this call began
		in = parent.removed[name]
	} else if in == nil {
		in = &inode{path: path}
		parent.add(s, name, in)
	} else if strings.Contains(args[2], "O_TRUNC") {
		in.changes = append(in.changes, diskChange{span: s, resize: true})
	}
	if in == nil {
		return errors.New("the file does not exist")
	}
	t.files[fd] = &openFile{in: in, append: strings.Contains(args[2], "O_APPEND"), marks: name == t.marks}
	return nil
}

func (t *powerTrace) write(s span, f *openFile, at int64, b []byte, moves bool) error {
	if f.marks {
		return t.onMark(s.end, b)
	}
	if f.append {
		return errors.New("appending is not supported")
	}
	if moves {
		f.at = at + int64(len(b))
	}
	f.in.changes = append(f.in.changes, diskChange{span: s, at: at, data: b})
	return nil
}
