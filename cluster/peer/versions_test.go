package peer

import (
	"errors"
	"testing"
)

func TestMembersSpeakTheLatestVersionThatBothKnow(t *testing.T) {
	for _, c := range []struct{ oldest, newest, want uint64 }{
		{OldestProtocol, NewestProtocol, NewestProtocol},
		{OldestProtocol, NewestProtocol + 5, NewestProtocol},
		{1, OldestProtocol, OldestProtocol},
		{1, OldestProtocol - 1, 0},
		{NewestProtocol + 1, NewestProtocol + 2, 0},
		{NewestProtocol + 2, NewestProtocol, 0}, // a false report
	} {
		got, err := CommonProtocol(c.oldest, c.newest)
		if got != c.want || (err != nil) != (c.want == 0) || err != nil && !errors.As(err, new(*ProtocolError)) {
			t.Errorf("with %d to %d: %d, %v; want %d", c.oldest, c.newest, got, err, c.want)
		}
	}
}
