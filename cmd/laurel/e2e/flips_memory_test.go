package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

// memory is the memory of a process that belongs to no file: the heap of Go, and what its
// runtime needs.
type memory struct {
	file  *os.File
	pages []uint64 // the addresses of those in use
	size  uint64   // of one
}

func openMemory(pid int) (*memory, error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		return nil, err
	}
	present, err := os.Open(proc + "pagemap")
	if err != nil {
		return nil, err
	}
	defer present.Close()
	m := &memory{size: uint64(os.Getpagesize())}
	for line := range strings.Lines(string(maps)) {
		var from, to, offset uint64
		var mode, device string
		var inode int
		if _, err := fmt.Sscanf(line, "%x-%x %s %x %s %d", &from, &to, &mode, &offset, &device, &inode); err != nil {
			return nil, fmt.Errorf("%smaps: %w: %s", proc, err, line)
		}
		if mode != "rw-p" || inode != 0 || strings.Contains(line, "[stack]") {
			continue
		}
		entries := make([]byte, (to-from)/m.size*8)
		if _, err := present.ReadAt(entries, int64(from/m.size*8)); err != nil {
			return nil, fmt.Errorf("%spagemap: %w", proc, err)
		}
		for i := 0; i < len(entries); i += 8 {
			if binary.LittleEndian.Uint64(entries[i:])>>63 != 0 {
				m.pages = append(m.pages, from+uint64(i/8)*m.size)
			}
		}
	}
	if len(m.pages) == 0 {
		return nil, errors.New("no page is in use")
	}
	m.file, err = os.OpenFile(proc+"mem", os.O_RDWR, 0)
	return m, err
}

// read reads a page. It is zero if it is gone.
func (m *memory) read(at uint64) []byte {
	page := make([]byte, m.size)
	_, _ = m.file.ReadAt(page, int64(at))
	return page
}

// find returns the addresses of a text.
func (m *memory) find(text string) (all []uint64) {
	for _, at := range m.pages {
		page := m.read(at)
		for i := 0; ; i++ {
			next := bytes.Index(page[i:], []byte(text))
			if next < 0 {
				break
			}
			i += next
			all = append(all, at+uint64(i))
		}
	}
	return all
}

// anywhere returns the address of a random byte in use, which is one of a word that is not
// zero.
func (m *memory) anywhere(r *rand.Rand) uint64 {
	for range 1000 {
		at := m.pages[r.IntN(len(m.pages))]
		var used []uint64
		for i, words := uint64(0), m.read(at); i < m.size; i += 8 {
			if binary.LittleEndian.Uint64(words[i:]) != 0 {
				used = append(used, at+i)
			}
		}
		if len(used) > 0 {
			return used[r.IntN(len(used))] + uint64(r.IntN(8))
		}
	}
	return 0 // the process has ended
}

// flip flips random bits: anywhere, or near what there is about the contests that are posted
// and read.
func (m *memory) flip(bits int, nearContests bool, r *rand.Rand) {
	var near []uint64
	if nearContests {
		near = m.find("OG50BC/FLIP-")
	}
	for range bits {
		at := m.anywhere(r)
		if len(near) > 0 {
			at = near[r.IntN(len(near))] + uint64(r.IntN(512)) - 128
		}
		b := make([]byte, 1)
		if _, err := m.file.ReadAt(b, int64(at)); err != nil {
			continue // the page or the process is gone, or the address is beside a page
		}
		b[0] ^= 1 << r.IntN(8)
		_, _ = m.file.WriteAt(b, int64(at)) // as above
	}
}

func (m *memory) inUse() uint64 { return uint64(len(m.pages)) * m.size }
