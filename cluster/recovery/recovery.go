// Package recovery makes a group again of what one member has, when the majority of its group
// is lost for good. It works on the data directory of a member that does not run.
//
// The member becomes the only one of a new group, under another name: its instance, and with
// that its server id and its certificate, and the incarnation of the store are new. So nothing
// that the lost members send is meant for it, and what it sends is not taken for that of the
// member which they knew. It keeps everything that its log has, also what it did not know to be
// committed. What only the lost members had acknowledged is lost.
//
// The plan is stored first (raftlog.Recovery). Each later step can be repeated, so a recovery
// that was interrupted is finished by another run. Until then the member does not start.
package recovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/cluster/sworn"
	"laurel/fsm"
	"laurel/internal/address"
	"laurel/trust/pki"
)

// A lost member that may not be lost is asked answerAttempts times, and each time for
// answerTimeout.
const (
	answerTimeout  = 2 * time.Second
	answerAttempts = 3
)

// Member is the member that a recovery is for, and what is in its directory. It holds the lock
// of the directory until Close.
type Member struct {
	ID     string
	Server raft.Server // in its group, or in the new one if Begun
	Others []raft.Server
	// Index and Term are of the last entry of its log. Applied is the last one that its
	// state has, at Revision.
	Index, Term, Applied, Revision uint64
	Lineage, Incarnation           string
	Secure                         bool
	// Begun is true if the recovery was begun before. It can only be finished.
	Begun bool

	dir     string
	logger  *slog.Logger
	plan    *raftlog.Recovery // nil if it was not begun
	store   *raftlog.Store
	machine *fsm.Machine
	step    func(name string) error // of a test, before each step
}

// ErrNoMember is the error of a directory that has no member's data.
var ErrNoMember = errors.New("the directory has no frontend's data")

// Open opens the data directory of a member that does not run. It changes nothing that a start
// of the member would not change. The error says why there is nothing to recover.
func Open(dir string, logger *slog.Logger) (m *Member, err error) {
	m = &Member{dir: dir, logger: logger, step: func(string) error { return nil }}
	if m.ID, err = raftlog.MemberID(dir); err != nil {
		return nil, err
	}
	if m.ID == "" {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoMember)
	}
	if err := checkHistory(dir); err != nil {
		return nil, err
	}
	if m.plan, err = raftlog.LoadRecovery(dir); err != nil {
		return nil, err
	}
	m.Begun = m.plan != nil
	_, err = os.Stat(pki.DirIn(dir))
	m.Secure = err == nil
	if err := m.open(); err != nil {
		return nil, err
	}
	if err := m.look(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// checkHistory returns an error for a member of a sworn group. What one of those has is no
// proof of what the group has certified.
func checkHistory(dir string) error {
	leaves, err := raftlog.LeavesHistory(dir)
	if err != nil {
		return err
	}
	if leaves {
		return fmt.Errorf("the frontend of %s leaves its history, which others contradict: recover another one", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, sworn.File)); err == nil {
		return errSworn
	}
	return nil
}

var errSworn = errors.New("the group is sworn: no single frontend can go on in its name, because its data do not " +
	"prove what the others have certified; restore a snapshot of the group, and sing again what is missing")

func (m *Member) open() (err error) {
	m.store, err = raftlog.Open(raftlog.Options{
		Dir: m.dir, ID: m.ID, Unfinished: true, Logger: m.logger, Fatal: func(error) {},
	})
	if err != nil {
		return err
	}
	if m.machine, err = m.store.OpenMachine(); err != nil {
		return errors.Join(err, m.store.Close())
	}
	return nil
}

// Close unlocks the directory.
func (m *Member) Close() error {
	var errs []error
	if m.machine != nil {
		errs = append(errs, m.machine.Close())
	}
	if m.store != nil {
		m.store.Release()
		errs = append(errs, m.store.Close())
	}
	m.machine, m.store = nil, nil
	return errors.Join(errs...)
}

// look reads what the directory has, and returns why that cannot be recovered.
func (m *Member) look() (err error) {
	state := m.machine.Access()
	m.Lineage, m.Incarnation = state.Settings.Lineage, state.Settings.Incarnation
	m.Applied, m.Revision = m.machine.Applied(), m.machine.Revision()
	if m.Index, m.Term, err = m.store.Last(); err != nil {
		return err
	}
	if state.Settings.Sworn {
		return errSworn
	}
	if m.Begun {
		m.Server = raft.Server{ID: m.plan.ServerID(m.ID), Address: raft.ServerAddress(m.plan.Peer)}
		return nil
	}
	c, err := m.store.Configuration()
	if err != nil {
		return err
	}
	self, in := peer.Find(c.Servers, m.store.ServerID())
	if !in {
		return fmt.Errorf("the frontend of %s is not in its group: it was removed, or has not joined", m.dir)
	}
	m.Server = self
	m.Others = slices.DeleteFunc(slices.Clone(c.Servers), func(s raft.Server) bool { return s.ID == self.ID })
	if self.Suffrage == raft.Voter && len(voters(m.Others)) == 0 {
		return fmt.Errorf("no majority is lost: the frontend of %s is the only voter of its group; start it", m.dir)
	}
	return nil
}

func voters(servers []raft.Server) []raft.Server {
	return slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool { return s.Suffrage != raft.Voter })
}

// Answering returns those of the other members at whose address a process accepts connections.
// most is true if they would be a majority of the voters, together with this member: then
// nothing is lost.
func (m *Member) Answering(ctx context.Context) (list []raft.Server, most bool) {
	var asking sync.WaitGroup
	var mu sync.Mutex
	for _, s := range m.Others {
		asking.Go(func() {
			if !answers(ctx, string(s.Address)) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			list = append(list, s)
		})
	}
	asking.Wait()
	slices.SortFunc(list, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	all, up := len(voters(m.Others)), len(voters(list))
	if m.Server.Suffrage == raft.Voter {
		all, up = all+1, up+1
	}
	return list, up*2 > all
}

// answers reports whether a process accepts connections at an address. It asks more than once: this
// process may have been held up, and a group that goes on must not be taken for lost.
func answers(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: answerTimeout}
	for range answerAttempts {
		c, err := d.DialContext(ctx, "tcp", addr)
		switch {
		case err == nil:
			c.Close()
			return true
		case errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil:
			return false
		}
	}
	return false
}

// Plan stores the plan of the recovery, at a peer address of the member; "" is that which its
// group had for it. After that the member starts only when Finish has succeeded.
func (m *Member) Plan(at string) error {
	if m.Begun {
		return nil
	}
	if at == "" {
		at = string(m.Server.Address)
	}
	if err := address.CheckPeer(at); err != nil {
		return fmt.Errorf("the peer address %q: %w", at, err)
	}
	plan, err := m.store.PlanRecovery(at, strings.ToLower(rand.Text()[:10]), time.Now().UTC())
	if err != nil {
		return err
	}
	if err := m.step("plan"); err != nil {
		return err
	}
	if err := plan.Write(m.dir); err != nil {
		return err
	}
	m.plan, m.Begun = plan, true
	return nil
}
