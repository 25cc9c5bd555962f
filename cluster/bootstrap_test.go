package cluster

import (
	"errors"
	"testing"
)

func TestABootstrapThatACrashCutIsDoneAgain(t *testing.T) {
	n := newNode(t, "f1", func(o *Options) { o.Bootstrap = true })
	s, err := openStorage(n.again(), n.opts.Logger, newMetrics(nil), func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.stable.SetUint64([]byte(termKey), 1), s.Close()); err != nil {
		t.Fatal(err)
	}
	n.start()
	g := &group{t: t, nodes: []*node{n}}
	g.settle()
	mustPost(t, n, alerts("bard/a", 1, 3))
	g.agree(3)
}

// A member that has voted may be in another group, of which it must not make a second one.
func TestAMemberThatHasVotedIsNotBootstrapped(t *testing.T) {
	for name, spoil := range map[string]func(s *storage) error{
		"it voted":              func(s *storage) error { return s.stable.SetUint64([]byte(voteTermKey), 1) },
		"it is of a later term": func(s *storage) error { return s.stable.SetUint64([]byte(termKey), 2) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "f1", func(o *Options) { o.Bootstrap = true })
			open := func() *storage {
				s, err := openStorage(n.again(), n.opts.Logger, newMetrics(nil), func(error) {})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := open()
			if err := errors.Join(s.stable.SetUint64([]byte(termKey), 1), spoil(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			s = open()
			defer s.Close()
			if !s.existing {
				t.Error("it would be bootstrapped")
			}
		})
	}
}
