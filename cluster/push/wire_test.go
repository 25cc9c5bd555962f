package push

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/cache"
	"laurel/cluster/peer"
)

// messages returns one message of each kind.
func messages() []cache.Message {
	return []cache.Message{
		&cache.Hello{Epoch: 7, Lease: 200 * time.Millisecond, Master: "f1@gergovia"},
		&cache.Beat{Round: 300, Released: 8123},
		&cache.Start{At: 8124, Released: 8123},
		&cache.Push{
			From: 8124, To: 8130, Released: 8124, Stale: []string{"timeline/G/1", "list/G"},
			Records: []cache.Record{
				{Key: "scores/G/1", Revision: 8129, Body: []byte("{}\n")},
				{Key: "medals/G", Revision: 8130},
			},
		},
		&cache.Push{From: 1, To: 2, Records: []cache.Record{}},
		&cache.Release{Released: 8130},
		&cache.Grant{At: time.Hour, Remaining: 150 * time.Millisecond},
		&cache.Recall{},
		&cache.Retire{Round: 301},
		&cache.Welcome{Age: time.Minute, NoLease: true},
		&cache.Ack{Round: 301, Pushed: 8130, At: time.Hour, Held: []string{"scores/G/1"}},
		&cache.Returned{},
		&cache.Retired{Round: 301},
	}
}

func TestMessageIsReadAsItWasWritten(t *testing.T) {
	var stream []byte
	for _, m := range messages() {
		stream = AppendMessage(stream, m)
	}
	r := bufio.NewReaderSize(bytes.NewReader(stream), 64) // some frames fit into the buffer, which is used again
	var read []cache.Message
	for range messages() {
		m, err := ReadMessage(r)
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, m)
	}
	for i, want := range messages() {
		if !reflect.DeepEqual(read[i], want) {
			t.Errorf("got %+v, want %+v", read[i], want)
		}
	}
	if _, err := ReadMessage(r); !errors.Is(err, io.EOF) {
		t.Errorf("after the last came %v", err)
	}
}

func TestDamagedFrameIsRefused(t *testing.T) {
	hello := AppendMessage(nil, &cache.Hello{Epoch: 7, Master: "f1@gergovia"})
	for name, b := range map[string][]byte{
		"empty":                  {0},
		"of an unknown kind":     {1, 99},
		"with bytes too many":    {3, kindOf(&cache.Release{}), 1, 1},
		"with bytes too few":     {1, kindOf(&cache.Release{})},
		"larger than allowed":    {0xff, 0xff, 0xff, 0xff, 0x7f},
		"that lies about a list": {8, kindOf(&cache.Ack{}), 0, 0, 0, 0xff, 0xff, 0xff, 0x7f},
	} {
		if m, err := ReadMessage(bufio.NewReader(bytes.NewReader(b))); !errors.Is(err, errFrame) {
			t.Errorf("a frame %s was read as %+v: %v", name, m, err)
		}
	}
	for cut := 1; cut < len(hello); cut++ {
		if _, err := ReadMessage(bufio.NewReader(bytes.NewReader(hello[:cut]))); err == nil {
			t.Errorf("a frame cut after %d bytes was read", cut)
		}
	}
}

func TestAHelloOfAnotherVersionIsRefusedWithTheVersion(t *testing.T) {
	hello := &cache.Hello{Epoch: 7, Lease: time.Second, Master: "f1@gergovia"}
	for _, version := range []uint64{0, peer.OldestProtocol - 1, peer.NewestProtocol + 1, 1 << 40} {
		_, err := ReadMessage(bufio.NewReader(bytes.NewReader(appendHello(nil, hello, version))))
		if other := (*peer.ProtocolError)(nil); !errors.As(err, &other) || other.Oldest != version {
			t.Errorf("version %d: %v", version, err)
		}
	}
	// What else it has may be in a form that this version does not know.
	longer := protowire.AppendBytes(nil, []byte{kindOf(hello), peer.NewestProtocol + 1, 1, 2, 3})
	if _, err := ReadMessage(bufio.NewReader(bytes.NewReader(longer))); !errors.As(err, new(*peer.ProtocolError)) {
		t.Errorf("another form: %v", err)
	}
}

// FuzzReadMessage checks that a frame is refused, or read and written again as it was.
func FuzzReadMessage(f *testing.F) {
	for _, m := range messages() {
		f.Add(AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadMessage(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		again, err := ReadMessage(bufio.NewReader(bytes.NewReader(AppendMessage(nil, m))))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v: %v", m, again, err)
		}
	})
}

// FuzzCommit checks that a commit hint is read as it was written, or refused.
func FuzzCommit(f *testing.F) {
	f.Add(AppendMessage(nil, &Commit{}))
	f.Add(AppendMessage(nil, &Commit{1 << 63, 7}))
	f.Add([]byte{2, kindOf(&Commit{}), 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		last, is := m.(*Commit)
		if err != nil || !is {
			return
		}
		again, err := readFrame(bufio.NewReader(bytes.NewReader(AppendMessage(nil, last))))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v: %v", m, again, err)
		}
	})
}
