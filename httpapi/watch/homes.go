package watch

import "time"

// resendHomeAfter is the time after which a watcher that was sent home and is still here may
// be sent again: its home may have been full.
const resendHomeAfter = 10 * time.Second

// probe is a comment line, which clients skip.
var probe = &frame{key: "probe", bytes: []byte(":\n")}

// Guests returns the number of watchers by home, without those whose home is own and those
// that are departing.
func (h *Hub) Guests(own string) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	guests := map[string]int{}
	for _, slot := range h.slots {
		for w := range slot {
			if w.Home != "" && w.Home != own && !w.departing() {
				guests[w.Home]++
			}
		}
	}
	return guests
}

// Departing returns the number of watchers that were sent home recently and may still leave.
// It also writes a probe to each: only a failing write shows that a watcher has left, and
// heartbeats would take up to 10 s, during which it counts both here and at home.
func (h *Hub) Departing() int {
	var departing []*Watcher
	h.mu.Lock()
	for _, slot := range h.slots {
		for w := range slot {
			if w.departing() {
				departing = append(departing, w)
			}
		}
	}
	delivered := h.delivered
	h.mu.Unlock()
	for _, w := range departing {
		w.send(probe, delivered)
	}
	return len(departing)
}

// departing reports whether the watcher was sent home recently. Hub.mu must be held.
func (w *Watcher) departing() bool {
	return !w.sentHome.IsZero() && time.Since(w.sentHome) < resendHomeAfter
}

// SendHome sends an event with the given data, which asks a watcher to go home, to at most
// limit of the watchers with that home.
func (h *Hub) SendHome(home string, data []byte, limit int) {
	f := &frame{key: "home", bytes: encode("home", data)}
	var departing []*Watcher
	h.mu.Lock()
	for _, slot := range h.slots {
		for w := range slot {
			if len(departing) < limit && w.Home == home && !w.departing() {
				w.sentHome = time.Now()
				departing = append(departing, w)
			}
		}
	}
	delivered := h.delivered
	h.mu.Unlock()
	for _, w := range departing {
		w.send(f, delivered)
	}
}
