package past

import "testing"

func TestChangesThatAreLongAgoAreForgotten(t *testing.T) {
	var h Changes
	for i := range 2*maxChanges + 10 {
		h.Add(uint64(i+1), []Record{{ID: "G/1"}})
	}
	if n := len(h.changes); n > 2*maxChanges || h.from == 0 || h.changes[0].revision != h.from+1 {
		t.Errorf("%d changes after revision %d are remembered", n, h.from)
	}
}
