package push

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"laurel/cache"
)

// Receiver is a frontend's end of the push protocol.
type Receiver struct {
	Config
	Hints *CommitHints
	ctx   context.Context // ends with the member

	mu     sync.Mutex
	logged map[string]time.Time // when a refusal was last logged, by reason
}

// NewReceiver returns a Receiver that admits streams until ctx ends.
func NewReceiver(ctx context.Context, c Config) *Receiver {
	return &Receiver{Config: c, Hints: NewCommitHints(c), ctx: ctx, logged: map[string]time.Time{}}
}

// Serve passes the messages of a master to the frontend, and its answers to the master,
// until the stream ends. It ignores a stream before it has admitted its Hello.
func (r *Receiver) Serve(conn net.Conn) {
	defer conn.Close()
	link := r.Frontend.Open(false)
	defer link.Close()
	epoch := uint64(0) // of the admitted Hello
	in, answers := bufio.NewReaderSize(conn, 16<<10), []byte(nil)
	for {
		if in.Buffered() == 0 && len(answers) > 0 {
			conn.SetWriteDeadline(time.Now().Add(r.Scale(streamTimeout)))
			if _, err := conn.Write(answers); err != nil {
				return
			}
			answers = answers[:0]
		}
		conn.SetReadDeadline(time.Now().Add(r.Scale(streamTimeout)))
		body, err := readFrame(in)
		if err != nil {
			return
		}
		if commit, ok := parseCommit(body); ok && epoch != 0 {
			r.Hints.Note(epoch, commit)
			continue
		}
		msg, err := parseMessage(body)
		if err != nil {
			return
		}
		hello, isHello := msg.(*cache.Hello)
		if isHello {
			err = r.Admit(conn, hello)
		}
		if push, ok := msg.(*cache.Push); ok && len(push.Records) > 0 && r.Machine.Access().Guarded {
			msg = withoutValues(push)
		}
		var answer cache.Message
		if err == nil {
			answer, err = link.Receive(msg, r.Raft.CurrentTerm())
		}
		switch {
		case err != nil && isHello:
			r.Refuse(err)
			return
		case err != nil:
			if !errors.Is(err, cache.ErrStale) {
				r.Logger.Warn("closed a push stream", "err", err)
			}
			return
		case isHello:
			epoch = hello.Epoch
		}
		if answer != nil {
			answers = AppendMessage(answers, answer)
		}
	}
}
