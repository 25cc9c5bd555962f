package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestWithoutAMasterNoChangeIsReportedAsPerhapsDone(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	left := g.frontends[0]
	for _, f := range g.frontends[1:] {
		f.Kill()
	}
	eventually(t, "the group has no master", func() error {
		s, err := left.status()
		if err == nil && s.Master != "" {
			err = errors.New(s.Master + " is still the master")
		}
		return err
	})
	for _, line := range []string{
		"bard alert OG50BC/rain --text rain",
		"bard alert OG50BC/rain --text rain --source feed --seq 1",
		"laurel cluster transfer f1",
		"laurel cluster transfer",
		"laurel cluster leave f2",
		"laurel cluster set cache_mode=pull",
	} {
		// It is enough for one attempt. A frontend that a busy machine holds up for half a
		// second answers too late, and then the outcome is rightly unknown.
		words := strings.Fields(line + " --patience 4900ms --to " + left.url)
		eventually(t, line+" ends with no_master", func() error {
			o := command(t, words[0], words[1:]...)
			if o.code != 1 || !strings.Contains(o.err, "no_master") || strings.Contains(o.err, "outcome_unknown") {
				return fmt.Errorf("%v; want exit code 1 and no_master", o)
			}
			return nil
		})
	}
	o := command(t, "laurel", "cluster", "status", "--to", left.url)
	if o.code != 1 || !strings.Contains(o.out, "there is no master") || !strings.Contains(o.err, "the group has no master") {
		t.Errorf("laurel cluster status: %v; want exit code 1 and the table", o)
	}
}
