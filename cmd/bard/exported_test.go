package main

import (
	"fmt"
	"strings"
	"testing"

	"laurel/internal/cli"
	"laurel/internal/testgroup"
)

func TestExportedEventsAreSungIntoAStoreOfTheirLineageOnly(t *testing.T) {
	t.Parallel()
	g := testgroup.StartWith(t, 1, testgroup.Options{Lineage: "gaul"})
	const header = `{"laurel_export":1,"lineage":%q,"incarnation":"i","revision":3,"events":3,"signed":0%s}` + "\n"
	for what, c := range map[string]struct{ line, words string }{
		"another lineage":  {fmt.Sprintf(header, "rome", ""), "--bootstrap --lineage rome"},
		"no lineage":       {fmt.Sprintf(header, "", ""), "names no store"},
		"a part":           {fmt.Sprintf(header, "gaul", `,"incomplete":"bard/x has gaps"`), "bard/x has gaps"},
		"a later format":   {strings.Replace(fmt.Sprintf(header, "gaul", ""), ":1", ":2", 1), "format 2"},
		"a damaged header": {`{"laurel_export":1,"lineage":` + "\n", "first line"},
	} {
		code, _, errs := bard(t.Context(), g, strings.NewReader(c.line+alerts(3)), "sing", "-")
		if code != cli.ExitFailed || !strings.Contains(errs, c.words) {
			t.Errorf("%s: exit code %d: %s", what, code, errs)
		}
	}
	if n := len(g.Events("OG50BC/1")); n > 0 {
		t.Errorf("%d events were posted", n)
	}
	for range 2 { // the second time, all of them are there
		code, _, errs := bard(t.Context(), g, strings.NewReader(fmt.Sprintf(header, "gaul", "")+alerts(3)), "sing", "-")
		if code != cli.ExitOK {
			t.Errorf("exit code %d: %s", code, errs)
		}
	}
	wantAccepted(t, g, 3)
	bad := fmt.Sprintf(header, "gaul", "") + alerts(3) + "not JSON\n"
	if _, _, errs := bard(t.Context(), g, strings.NewReader(bad), "sing", "-"); !strings.Contains(errs, "line 5") {
		t.Errorf("the header is no line of its own: %s", errs)
	}
}
