package cluster

import (
	"errors"
	"testing"

	"laurel/cluster/raftlog"
)

func TestInterruptedBootstrapIsRepeated(t *testing.T) {
	t.Parallel()
	n := newNode(t, "f1", func(o *Options) { o.Bootstrap = true })
	s, err := raftlog.Open(raftlog.Options{Dir: n.opts.Dir, ID: n.opts.ID, Bootstrap: true, Logger: n.opts.Logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Stable.SetUint64([]byte(termKey), 1), s.Close()); err != nil {
		t.Fatal(err)
	}
	n.start()
	g := &group{t: t, nodes: []*node{n}}
	g.settle()
	mustPost(t, n, alerts("bard/a", 1, 3))
	g.agree(3)
}
