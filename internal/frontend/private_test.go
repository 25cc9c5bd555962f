package frontend

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"laurel/cluster"
	"laurel/httpapi"
)

func TestAFrontendWarnsThatItsGroupIsNotPrivate(t *testing.T) {
	f, _ := startWorldFrontend(t, 1, cluster.Options{Bootstrap: true}, httpapi.Options{})
	for _, private := range []bool{false, true} {
		var log bytes.Buffer
		f.options.Logger, f.options.Private = slog.New(slog.NewTextHandler(&log, nil)), private
		f.logReady(t.Context())
		if strings.Contains(log.String(), "laurel cluster set private=true") != private {
			t.Errorf("with --private %t it logs\n%s", private, &log)
		}
	}
}
