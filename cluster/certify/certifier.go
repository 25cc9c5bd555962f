package certify

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/trust/access"
	"laurel/witness"
)

// State keeps what a key has signed, as far as that binds its frontend.
type State interface {
	// Load returns what was saved last; nil if the key has never signed anything. With an
	// error it is not known what the key has signed, so it must not sign any more.
	Load() ([]byte, error)
	// Save returns when the disk has the state.
	Save(state []byte) error
}

// Config configures a Certifier.
type Config struct {
	ID      string             // of the frontend
	Key     ed25519.PrivateKey // of the frontend in the roster
	State   State              // of the key
	Machine Machine
	Access  func() *access.State // the applied access control, with the roster
	// Peers returns the addresses of the other members, by their ids.
	Peers func() map[string]string
	// Send sends a message, for Serve, to the member at an address.
	Send  func(ctx context.Context, addr string, message []byte) error
	Leads func() bool // reports whether this frontend is the master
	// Propose appends the seal of a number to the log, and returns when it is applied.
	Propose func(ctx context.Context, number uint64) error
	// Compare is called with the answers that have changed in each new round, as they are
	// at its revision; nil for one that is gone.
	Compare func(revision uint64, answers map[string][]byte)
	// GoBack is called when this frontend must leave its history after a round; see
	// witness.Node.GoBack and OthersHave. It may be called again.
	GoBack func(to witness.Head, othersHave bool)
	// StartOver is called when this frontend must leave everything, because its state at a round
	// was another one than that of a quorum; see witness.Node.Altered.
	StartOver func(round uint64)
	Metrics   prometheus.Registerer
	Logger    *slog.Logger
}

// Certifier takes part in certificates, in a sworn group. Its methods may be called by any
// goroutine; those for readers return a problem in a group that is not sworn.
type Certifier struct {
	Config
	acts    atomic.Pointer[Config] // Config; a spy replaces its Send, Propose and GoBack
	metrics metrics
	wake    chan struct{} // of Run
	seals   seals
	inbox   inbox
	running sync.WaitGroup

	kept     chan kept
	digested atomic.Pointer[witness.Digest] // for the node
	compared atomic.Uint64                  // the newest round with equal digests

	shown    atomic.Pointer[publication]
	waiting  atomic.Int64 // calls of Prove
	verdicts atomic.Pointer[[]witness.Verdict]
	cosigned atomic.Pointer[witness.Head]

	// The rest belongs to the goroutine of Run.
	key        *witness.Key
	outboxes   map[string]*outbox // by the id of the member
	node       *witness.Node      // nil while this frontend signs nothing
	access     *access.State      // that the node is for
	policy     *witness.Policy
	saved      []byte
	fed        uint64    // the number of the last round that the node was given
	sentAt     time.Time // when notes were sent last
	nextAt     time.Time // when the node wants to be called again
	warned     string    // why there is no node, as it was logged
	leaving    bool      // GoBack was called
	othersHave bool      // with this
}

// New returns a certifier. An error means that the frontend's id cannot be the name of a
// key.
func New(config Config) (*Certifier, error) {
	key, err := witness.NewKey(config.ID, config.Key)
	if err != nil {
		return nil, err
	}
	c := &Certifier{
		Config: config, key: key, wake: make(chan struct{}, 1), outboxes: map[string]*outbox{},
		seals: seals{wake: make(chan struct{}, 1), first: map[uint64]time.Time{}},
		inbox: inbox{mail: map[string]*mail{}}, kept: make(chan kept),
	}
	c.acts.Store(&c.Config)
	c.shown.Store(&publication{changed: make(chan struct{})})
	if saved, err := c.State.Load(); err == nil { // otherwise Run says that it is lost
		if cosigned, err := witness.Cosigned(key, saved); err == nil {
			c.cosigned.Store(&cosigned)
		}
	}
	c.register()
	return c, nil
}
