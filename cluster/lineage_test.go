package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache/queries"
)

func TestAFounderGivesTheStoreTheLineageThatItIsToldAndLeavesALine(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, func(o *Options) { o.Lineage = "gaul" })
	n := g.master()
	if has := n.member().Lineage(); has != "gaul" {
		t.Fatalf("the lineage is %s", has)
	}
	audit := ""
	if _, _, err := n.member().Stale(func(v queries.View) error {
		list, _, err := v.Audit(0, 100)
		for _, line := range list {
			audit += line.By + ": " + line.What + "\n"
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(audit, n.opts.ID+": the setting lineage is gaul\n") {
		t.Errorf("the audit trail is\n%s", audit)
	}
	n.stop()
	n.start() // with the same options, as a service manager does
	g.settle()
	n.stop()
	o := n.opts
	o.Lineage, o.Metrics = "rome", prometheus.NewRegistry()
	m, err := Start(o)
	if err == nil {
		m.Close()
	}
	if wrong, is := errors.AsType[*LineageError](err); !is || wrong.Lineage != "gaul" || wrong.Wanted != "rome" {
		t.Errorf("a store of another lineage: %v", err)
	}
}
