package watch

// Guests counts the watchers whose home is another frontend than own, by that.
func (h *Hub) Guests(own string) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	guests := map[string]int{}
	for _, part := range h.watchers {
		for w := range part {
			if w.Home != "" && w.Home != own && !w.going {
				guests[w.Home]++
			}
		}
	}
	return guests
}

// SendHome tells up to most of the watchers with that home to go there, each once.
func (h *Hub) SendHome(home string, data []byte, most int) {
	f := &frame{name: "home", bytes: encode("home", data)}
	var going []*Watcher
	h.mu.Lock()
	for _, part := range h.watchers {
		for w := range part {
			if len(going) < most && w.Home == home && !w.going {
				w.going = true
				going = append(going, w)
			}
		}
	}
	cut := h.cut
	h.mu.Unlock()
	for _, w := range going {
		w.add(f)
		w.reach(cut)
	}
}
