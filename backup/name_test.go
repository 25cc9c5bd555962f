package backup

import (
	"testing"
	"time"
)

func TestOnlyAWholeNameOfTheStoreIsThatOfABackup(t *testing.T) {
	at := time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC)
	name := File{"games", 12, at}.Name()
	if name != "laurel-games-12-20260209T101640Z.snap.gz" {
		t.Errorf("the name is %s", name)
	}
	names := []string{
		"laurel-games-012-20260209T101640Z.snap.gz", "laurel-games-+12-20260209T101640Z.snap.gz",
		"laurel-games-12-20260209T101640Z.snap", "laurel-games-12-2026.snap.gz", "laurel-games-12.snap.gz",
		"laurel-games-12-20261309T101640Z.snap.gz", "laurel-other-12-20260209T101640Z.snap.gz",
		"laurel-games-12-20260209T101640Z.snap.gz.snap.gz", "x" + name, name + ".snap.gz", name,
		"laurel-games-99999999999999999999-20260209T101640Z.snap.gz", "",
	}
	if files := ofStore(names, "games"); len(files) != 1 || files[0] != (File{"games", 12, at}) {
		t.Errorf("the backups are %v", files)
	}
}
