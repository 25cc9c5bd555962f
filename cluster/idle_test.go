package cluster

import (
	"testing"
	"time"
)

func TestIdleGroupSendsFewMessages(t *testing.T) {
	runScript(t, nil, func(s *script) {
		if !s.post(3) || !s.mustAgree() {
			return
		}
		time.Sleep(5 * time.Second)
		before := s.net.wire.counted()[countWrites]
		time.Sleep(10 * time.Second)
		// A round of the master takes three messages for each follower, 20 times a second.
		// Raft's own messages and the polls are about 60 a second on this network.
		if sent := s.net.wire.counted()[countWrites] - before; sent > 2500 {
			s.problemf("an idle group of three sent %d messages in ten seconds", sent)
		}
	})
}
