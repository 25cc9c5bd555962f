package ranking

import "hash/maphash"

// codes finds rows by their competitors' codes: a hash table with linear probing that has
// only the numbers of rows, because the rows have the codes. A map would take several times
// the memory.
type codes struct {
	slots []uint32 // numbers of rows plus one, 0 for none; as many as a power of two
	used  int
}

var hashSeed = maphash.MakeSeed()

// grow makes room for n codes.
func (c *codes) grow(rows []row, n int) {
	size := max(len(c.slots), 8)
	for n*4 > size*3 {
		size *= 2
	}
	if size == len(c.slots) {
		return
	}
	old := c.slots
	c.slots = make([]uint32, size)
	for _, slot := range old {
		if slot != 0 {
			i, _ := c.find(rows, rows[slot-1].competitor())
			c.slots[i] = slot
		}
	}
}

func (c *codes) home(code string) int {
	return int(maphash.String(hashSeed, code)) & (len(c.slots) - 1)
}

func (c *codes) next(slot int) int { return (slot + 1) & (len(c.slots) - 1) }

// find returns the slot of a code, or the one that is free for it.
func (c *codes) find(rows []row, code string) (slot int, found bool) {
	for slot = c.home(code); c.slots[slot] != 0; slot = c.next(slot) {
		if rows[c.slots[slot]-1].hasCode(code) {
			return slot, true
		}
	}
	return slot, false
}

// number returns the number of the row with a code.
func (c *codes) number(rows []row, code string) (number uint32, ok bool) {
	if c.used == 0 {
		return 0, false
	}
	slot, found := c.find(rows, code)
	return c.slots[slot] - 1, found
}

// add adds a row, whose code is new.
func (c *codes) add(rows []row, number uint32) {
	c.used++
	c.grow(rows, c.used)
	slot, _ := c.find(rows, rows[number].competitor())
	c.slots[slot] = number + 1
}

// remove removes a row, which still has its code. It moves back the rows behind it that
// would not be found otherwise.
func (c *codes) remove(rows []row, number uint32) {
	c.used--
	gap, _ := c.find(rows, rows[number].competitor())
	for slot := c.next(gap); c.slots[slot] != 0; slot = c.next(slot) {
		mask := len(c.slots) - 1
		if home := c.home(rows[c.slots[slot]-1].competitor()); (slot-home)&mask >= (slot-gap)&mask {
			c.slots[gap], gap = c.slots[slot], slot
		}
	}
	c.slots[gap] = 0
}

// shared holds values that many rows have in common, each once, by numbers.
type shared[T comparable] struct {
	numbers map[T]uint32
	values  []T
	users   []uint32 // rows with the value
	free    []uint32 // numbers to use again
}

// take returns the number of a value, which has one more user now.
func (s *shared[T]) take(v T) (number uint32) {
	number, known := s.numbers[v]
	switch last := len(s.free) - 1; {
	case known:
	case last >= 0:
		number, s.free = s.free[last], s.free[:last]
		s.values[number] = v
	default:
		number = uint32(len(s.values))
		s.values, s.users = append(s.values, v), append(s.users, 0)
	}
	if !known {
		if s.numbers == nil {
			s.numbers = map[T]uint32{}
		}
		s.numbers[v] = number
	}
	s.users[number]++
	return number
}

// leave takes a user from a value.
func (s *shared[T]) leave(number uint32) {
	if s.users[number]--; s.users[number] == 0 {
		var none T
		delete(s.numbers, s.values[number])
		s.values[number] = none
		s.free = append(s.free, number)
	}
}
