package watch

import "time"

// sentAgain is after how long a watcher that was sent home and is still here may be sent again: its home may have had no place.
const sentAgain = 10 * time.Second

// Guests counts the watchers whose home is another frontend than own, by that, without those who were just sent there.
func (h *Hub) Guests(own string) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	guests := map[string]int{}
	for _, part := range h.watchers {
		for w := range part {
			if w.Home != "" && w.Home != own && !w.going() {
				guests[w.Home]++
			}
		}
	}
	return guests
}

// probe is a comment of the stream, which its reader skips.
var probe = &frame{name: "probe", bytes: []byte(":\n")}

// Going counts the watchers who were just sent home and may still leave. It writes to them, for only a write that fails tells that one has left; the
// heartbeats alone would take 10 s, and so long they would count here and at home.
func (h *Hub) Going() int {
	var going []*Watcher
	h.mu.Lock()
	for _, part := range h.watchers {
		for w := range part {
			if w.going() {
				going = append(going, w)
			}
		}
	}
	cut := h.cut
	h.mu.Unlock()
	for _, w := range going {
		w.tell(probe, cut)
	}
	return len(going)
}

// going tells whether the watcher was just sent home; Hub.mu must be held.
func (w *Watcher) going() bool { return !w.sentHome.IsZero() && time.Since(w.sentHome) < sentAgain }

// SendHome tells up to most of the watchers with that home to go there.
func (h *Hub) SendHome(home string, data []byte, most int) {
	f := &frame{name: "home", bytes: encode("home", data)}
	var going []*Watcher
	h.mu.Lock()
	for _, part := range h.watchers {
		for w := range part {
			if len(going) < most && w.Home == home && !w.going() {
				w.sentHome = time.Now()
				going = append(going, w)
			}
		}
	}
	cut := h.cut
	h.mu.Unlock()
	for _, w := range going {
		w.tell(f, cut)
	}
}
