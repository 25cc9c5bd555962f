package score

import (
	"testing"

	"github.com/go-json-experiment/json"
)

func TestADigestIsReadAsItIsWritten(t *testing.T) {
	want := PostedEvent{Seq: 1, ID: "x", Revision: 7, Digest: Digest{0, 1, 0xab}}
	b, err := json.Marshal(want)
	if err != nil || string(b) != `{"seq":1,"id":"x","revision":7,"digest":"0001ab0000000000"}` {
		t.Fatalf("got %s, %v", b, err)
	}
	var got PostedEvent
	if err := json.Unmarshal(b, &got); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"", "0", "0001ab000000000", "0001ab00000000000", "0001ab00000000xx"} {
		if err := new(Digest).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
