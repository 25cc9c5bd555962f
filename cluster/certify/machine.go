package certify

import (
	"laurel/fsm"
	"laurel/fsm/rounds"
	"laurel/witness"
)

// Machine is a frontend's state machine, which makes the rounds. Its methods may be called
// by any goroutine.
type Machine interface {
	// Unsealed returns how many answers have changed since the newest seal, and the number
	// of the next seal.
	Unsealed() (changed int, next uint64)
	// Wake returns the channel that receives a value when what Unsealed returns has changed.
	// It has one consumer.
	Wake() <-chan struct{}
	// Outdated reports whether the newest round has an older format than present answers.
	Outdated() bool
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
	// Changed are the bodies of the answers that have changed in the round, as far as they
	// are kept; nil for one that is gone.
	Changed map[string][]byte
	// Body returns the body of an answer in this round, if that is kept.
	Body func(key string) (body []byte, known bool)
}

// MachineOf returns the Machine of a state machine.
func MachineOf(m *fsm.Machine) Machine { return machineOf{m.Rounds(), m} }

type machineOf struct {
	*rounds.Log
	machine *fsm.Machine
}

func (m machineOf) Sealed(from uint64) (list []*Sealed) {
	for _, s := range m.Log.Sealed(from) {
		list = append(list, &Sealed{s.Round, s.Head, s.Path, s.Answers, s.Changed(), s.Body})
	}
	return list
}

func (m machineOf) Outdated() bool { return m.machine.Outdated() }

func (m machineOf) Answer(key string) ([]byte, error) { return m.machine.Answer(key) }
