package admin

import (
	"bytes"
	"strings"
	"testing"

	"laurel/score"
)

func TestTheListOfFrontendsSaysWhoseDiskHasNoRoom(t *testing.T) {
	free := int64(5 << 20)
	var b bytes.Buffer
	frontendsText(&b, score.Frontends{Frontends: []score.Frontend{{ID: "f1", DiskFree: &free}, {ID: "f2", DiskFree: &free, NoRoom: true}}})
	const want = "\nthe disk of f2 has too little room for posts, 5 MiB: make room\n"
	if !strings.Contains(b.String(), want) || strings.Count(b.String(), "make room") != 1 {
		t.Errorf("got %s\nwant %q once", &b, want)
	}
}
