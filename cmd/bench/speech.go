package main

import (
	"bytes"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// speech is how a server tells its watchers what has changed. It is used by several goroutines at once.
type speech interface {
	// ask is what a watcher sends first.
	ask() []byte
	// next is the first message of data and its length, which is 0 if it is not there whole.
	next(data []byte) (m message, n int, err error)
}

type message struct {
	begins   bool   // it tells how the record is, or that the watch stands
	revision uint64 // of the record that is told; 0: of none
	reply    []byte // must be sent
}

// eventStream is server-sent events over HTTP/1.1.
type eventStream struct{ request []byte }

func newEventStream(host, path string) eventStream {
	return eventStream{[]byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: text/event-stream\r\n\r\n")}
}

func (s eventStream) ask() []byte { return s.request }

func (s eventStream) next(data []byte) (m message, n int, err error) {
	if bytes.HasPrefix(data, []byte("HTTP/1.1 ")) && len(data) >= 12 && string(data[9:12]) != "200" {
		return m, 0, fmt.Errorf("refused: %s", clip(data))
	}
	end := bytes.Index(data, []byte("\n\n"))
	if end < 0 {
		return m, 0, nil
	}
	n = end + 2
	// A chunk's length, or the answer's head, may stand before the first line.
	_, event, _ := bytes.Cut(data[:n], []byte("event: "))
	switch {
	case bytes.HasPrefix(event, []byte("snapshot\n")):
		m.begins = true
	case bytes.HasPrefix(event, []byte("score\n")):
		if m.revision, _ = lastRevision(event); m.revision == 0 {
			err = fmt.Errorf("no revision in %s", clip(event))
		}
	}
	return m, n, err
}

// lastRevision is the last that a text names, and whether it is there whole.
func lastRevision(text []byte) (revision uint64, ok bool) {
	name := []byte(`"revision":`)
	i := bytes.LastIndex(text, name)
	if i < 0 {
		return 0, false
	}
	for _, c := range text[i+len(name):] {
		if c < '0' || c > '9' {
			return revision, true
		}
		revision = 10*revision + uint64(c-'0')
	}
	return 0, false
}

// etcdWatch is one watch of one key over gRPC. Its windows are opened so wide at the start that nothing has to be said about them later.
type etcdWatch struct{ request []byte }

func newEtcdWatch(host, key string) (etcdWatch, error) {
	create := &etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: &etcdserverpb.WatchCreateRequest{Key: []byte(key)}}}
	body, err := create.Marshal()
	if err != nil {
		return etcdWatch{}, err
	}
	var head, b bytes.Buffer
	fields := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/etcdserverpb.Watch/Watch"}, {":authority", host},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return etcdWatch{}, err
		}
	}
	const window, initial = 1<<31 - 1, 1<<16 - 1
	b.WriteString(http2.ClientPreface)
	w := http2.NewFramer(&b, nil)
	prefix := []byte{0, 0, 0, 0, byte(len(body))} // of a message of gRPC: not compressed, its length
	for _, err := range []error{
		w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
		w.WriteWindowUpdate(0, window-initial),
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}),
		w.WriteData(1, false, append(prefix, body...)),
	} {
		if err != nil {
			return etcdWatch{}, err
		}
	}
	return etcdWatch{b.Bytes()}, nil
}

func (w etcdWatch) ask() []byte { return w.request }

func (w etcdWatch) next(data []byte) (m message, n int, err error) {
	const head = 9
	if len(data) < head {
		return m, 0, nil
	}
	n = head + int(data[0])<<16 + int(data[1])<<8 + int(data[2])
	if len(data) < n {
		return m, 0, nil
	}
	kind, flags, body := http2.FrameType(data[3]), http2.Flags(data[4]), data[head:n]
	switch kind {
	case http2.FrameData:
		// Of an answer so long that it is cut in two, the record that the cut is in may be missed; a later one says it too.
		var told bool
		m.revision, told = lastRevision(body)
		m.begins = !told
	case http2.FrameSettings:
		if !flags.Has(http2.FlagSettingsAck) {
			m.reply = []byte{0, 0, 0, byte(http2.FrameSettings), byte(http2.FlagSettingsAck), 0, 0, 0, 0}
		}
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			m.reply = append([]byte{0, 0, 8, byte(http2.FramePing), byte(http2.FlagPingAck), 0, 0, 0, 0}, body...)
		}
	case http2.FrameHeaders:
		if flags.Has(http2.FlagHeadersEndStream) {
			err = fmt.Errorf("etcd ended the watch: %q", clip(body))
		}
	case http2.FrameRSTStream, http2.FrameGoAway:
		err = fmt.Errorf("etcd ended the watch: %s %x", kind, clip(body))
	}
	return m, n, err
}
