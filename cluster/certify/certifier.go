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

// Machine is a frontend's state machine, which makes the rounds. Its methods may be called
// by any goroutine.
type Machine interface {
	// Unsealed returns how many answers have changed since the newest seal, and the number
	// of the next seal; 0 and 0 in a store that is not sworn.
	Unsealed() (changed int, next uint64)
	// Wake returns the channel that receives a value when what Unsealed returns has changed.
	// It has one consumer.
	Wake() <-chan struct{}
	// Sealed returns the rounds with a number or a larger one that are in memory, in order.
	Sealed(from uint64) []*Sealed
	// Heads returns the heads of the rounds with a number or a larger one, in order, as far
	// as the store has them.
	Heads(from uint64) []witness.Head
	// Answer returns the present answer to a key, as it is sealed; nil if there is none.
	Answer(key string) ([]byte, error)
	// Certified tells that no round before that of a number is asked for any more.
	Certified(number uint64)
}

// Sealed is what the state machine keeps of a round.
type Sealed struct {
	Round   witness.Round
	Head    witness.Head   // with the round
	Path    []witness.Hash // of the round in the tree of rounds
	Answers *witness.Answers
	// Body returns the body of an answer in this round, if that is kept.
	Body func(key string) (body []byte, known bool)
}

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
	// GoBack is called when this frontend must leave its history after the round of a size;
	// see witness.Node.GoBack. It may be called again.
	GoBack  func(size uint64)
	Metrics prometheus.Registerer
	Logger  *slog.Logger
}

// Certifier takes part in certificates, in a sworn group. Its methods may be called by any
// goroutine; those for readers return a problem in a group that is not sworn.
type Certifier struct {
	Config
	metrics metrics
	wake    chan struct{} // of Run
	seals   seals
	inbox   inbox
	running sync.WaitGroup

	shown    atomic.Pointer[shown]
	verdicts atomic.Pointer[[]witness.Verdict]

	// The rest belongs to the goroutine of Run.
	key      *witness.Key
	outboxes map[string]*outbox // by the id of the member
	node     *witness.Node      // nil while this frontend signs nothing
	access   *access.State      // that the node is for
	policy   *witness.Policy
	saved    []byte
	fed      uint64    // the number of the last round that the node was given
	sentAt   time.Time // when notes were sent last
	nextAt   time.Time // when the node wants to be called again
	warned   string    // why there is no node, as it was logged
	leaving  bool      // GoBack was called
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
		inbox: inbox{mail: map[string]*mail{}},
	}
	c.shown.Store(&shown{changed: make(chan struct{})})
	c.register()
	return c, nil
}
