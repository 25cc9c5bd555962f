package push

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/peer"
)

// Receiver is a frontend's end of the push protocol.
type Receiver struct {
	Config
	Hints    *CommitHints
	ctx      context.Context // ends with the member
	refusals *peer.Refusals  // of Hellos
}

// NewReceiver returns a Receiver that admits streams until ctx ends.
func NewReceiver(ctx context.Context, c Config) *Receiver {
	reasons := make([]string, len(helloRefusals))
	for i, refusal := range helloRefusals {
		reasons[i] = refusal.reason
	}
	refusals := peer.NewRefusals(c.HellosRefused, c.Logger, reasons...)
	return &Receiver{Config: c, Hints: NewCommitHints(c), ctx: ctx, refusals: refusals}
}

// Serve passes the messages of a master to the frontend, and its answers to the master,
// until the stream ends. It ignores a stream before it has admitted its Hello.
func (r *Receiver) Serve(conn net.Conn) {
	if master, epoch := r.serve(conn); epoch > 0 {
		r.Transport.LostMaster(master, epoch)
	}
}

// serve is Serve. It returns the master and the epoch of the admitted Hello.
func (r *Receiver) serve(conn net.Conn) (master raft.ServerID, epoch uint64) {
	defer conn.Close()
	link := r.Frontend.Open(false)
	defer link.Close()
	in, answers := bufio.NewReaderSize(conn, 16<<10), []byte(nil)
	for {
		if in.Buffered() == 0 && len(answers) > 0 {
			conn.SetWriteDeadline(time.Now().Add(r.Scale(streamTimeout)))
			if _, err := conn.Write(answers); err != nil {
				return master, epoch
			}
			answers = answers[:0]
		}
		conn.SetReadDeadline(time.Now().Add(r.Scale(streamTimeout)))
		read, err := readFrame(in)
		if err != nil {
			if errors.As(err, new(*peer.ProtocolError)) {
				r.Refuse(fmt.Errorf("%w: %w", errOtherVersion, err))
			}
			return master, epoch
		}
		if commit, ok := read.(*Commit); ok && epoch != 0 {
			r.Hints.Note(epoch, *commit)
			continue
		}
		msg, ok := read.(cache.Message)
		if !ok {
			return master, epoch
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
			return master, epoch
		case err != nil:
			if !errors.Is(err, cache.ErrStale) {
				r.Logger.Warn("closed a push stream", "err", err)
			}
			return master, epoch
		case isHello:
			epoch, master = hello.Epoch, raft.ServerID(hello.Master)
		}
		if ack, ok := answer.(*cache.Ack); ok && ack.Round > 0 {
			r.Transport.NoteRound(master, epoch)
		}
		if answer != nil {
			answers = AppendMessage(answers, answer)
		}
	}
}

// withoutValues returns a push that only names what p has values of. In a guarded store a
// frontend shows only what its own state machine made of signed events, so that a corrupt
// master cannot put a score into its cache.
func withoutValues(p *cache.Push) *cache.Push {
	named := *p
	named.Records = nil
	for i := range p.Records {
		named.Stale = append(named.Stale, p.Records[i].Key)
	}
	return &named
}

// A frontend shows what its master's stream tells it, so it must know that the sender is
// the master. It admits a Hello only of the leader that its Raft follows in the present
// term and, in a secure group, only on a connection of that member. Raft learns of a new
// leader from its first message, which may come a moment after the Hello, so the Hello is
// held for helloHold.
const (
	helloHold = 50 * time.Millisecond // at a time scale of 1
	helloPoll = time.Millisecond
)

var (
	errOtherPeer  = errors.New("the stream is not from the member that its hello names")
	errOtherScale = errors.New("the master has another time scale; " +
		"without the same one everywhere this frontend answers nothing from memory")
	errOtherVersion = errors.New("the stream is of a version that this frontend does not speak, " +
		"so it answers nothing from memory")
	errNotLeader = errors.New("raft does not know the member as the leader of that term")
)

// reasonTwoMasters is the reason that is a fault of the group, and counted by both ends.
const reasonTwoMasters = "two_masters"

// helloRefusals are the reasons of laurel_hello_refused_total, and the level at which a
// refusal is logged.
var helloRefusals = []struct {
	err    error
	reason string
	level  slog.Level
}{
	{cache.ErrTwoMasters, reasonTwoMasters, slog.LevelError},
	{errOtherPeer, "other_peer", slog.LevelWarn},
	{errOtherScale, "other_scale", slog.LevelError},
	{errOtherVersion, "other_version", slog.LevelError},
	{errNotLeader, "not_leader", slog.LevelWarn},
	{cache.ErrAhead, "not_leader", slog.LevelWarn},
	{cache.ErrStale, "stale", slog.LevelDebug}, // a newer master or stream was admitted
}

// Admit returns nil if a Hello is the master's, as far as this member can know.
func (r *Receiver) Admit(c net.Conn, hello *cache.Hello) error {
	if id := peer.FromConn(c); id != "" && string(id) != hello.Master {
		return fmt.Errorf("%w: it names %q, and the certificate %q", errOtherPeer, hello.Master, id)
	}
	if lease := r.Timings.Lease; hello.Lease != lease {
		return fmt.Errorf("%w: its leases last %v, those here %v", errOtherScale, hello.Lease, lease)
	}
	hold, poll := time.After(r.Scale(helloHold)), time.Tick(helloPoll)
	for {
		term, leader := r.leader()
		switch {
		case term == hello.Epoch && leader == raft.ServerID(hello.Master):
			return nil
		case term > hello.Epoch:
			return fmt.Errorf("%w: raft is in term %d, the stream in epoch %d", cache.ErrStale, term, hello.Epoch)
		}
		select {
		case <-poll:
		case <-hold:
			return fmt.Errorf("%w: the stream is of %q in epoch %d, but raft follows %q in term %d",
				errNotLeader, hello.Master, hello.Epoch, leader, term)
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// leader returns Raft's term and the leader that Raft follows in it; "" for none.
func (r *Receiver) leader() (term uint64, leader raft.ServerID) {
	for {
		// Raft forgets its leader before it enters a term. So the leader read between two
		// equal terms is of that term.
		term = r.Raft.CurrentTerm()
		if _, leader = r.Raft.LeaderWithID(); r.Raft.CurrentTerm() == term {
			return term, leader
		}
	}
}

// Refuse counts and logs the refusal of a Hello. Errors without a reason mean that this
// member is closing.
func (r *Receiver) Refuse(err error) {
	for _, refusal := range helloRefusals {
		if errors.Is(err, refusal.err) {
			r.refusals.Note(refusal.level, refusal.reason, "refused a push stream", "err", err)
			return
		}
	}
}
