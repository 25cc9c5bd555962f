package status

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestAMemberIsFoundWhereItSaysUntilTheConfigurationSaysMore(t *testing.T) {
	servers := []raft.Server{{ID: "f1@a", Address: "f1:9001"}, {ID: "f2@a", Address: "f2:9001"}}
	master := false
	m := &Moved{Servers: func() []raft.Server { return servers }, Master: func() bool { return master }}
	check := func(what string, f1, f2 string) {
		t.Helper()
		if a, b := m.Of("f1:9001"), m.Of("f2:9001"); a != f1 || b != f2 || m.Of("f3:9001") != "f3:9001" {
			t.Errorf("%s: f1 is at %s and f2 at %s; want %s and %s", what, a, b, f1, f2)
		}
	}
	check("nobody has moved", "f1:9001", "f2:9001")
	m.Note("f1@a", "new:9001")
	check("f1 has moved", "new:9001", "f2:9001")
	m.Note("f1@a", "newer:9001")
	check("f1 has moved again", "newer:9001", "f2:9001")
	for _, id := range []raft.ServerID{"", "f2@b", "f3@a"} {
		m.Note(id, "new:9001")
	}
	for _, addr := range []string{"", "new", "0.0.0.0:9001", "new:9001/path"} {
		m.Note("f2@a", addr)
	}
	check("strangers, and no addresses", "newer:9001", "f2:9001")
	master = true
	m.Note("f2@a", "copy:9001")
	check("a copy of f2's data while there is a master", "newer:9001", "f2:9001")
	m.Note("f1@a", "f1:9001")
	check("f1 is back", "f1:9001", "f2:9001")
	master = false
	m.Note("f1@a", "new:9001")
	servers[0].Address = "other:9001"
	check("the master has another address of it", "f1:9001", "f2:9001")
}
