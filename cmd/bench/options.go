package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Whom the load goes to.
const (
	toMaster = "master"
	toAll    = "all" // the members in turn, the master last, so that one poster alone is one that is forwarded
)

// What can be loaded.
const (
	laurelName = "laurel"
	etcdName   = "etcd"
)

type options struct {
	laurel, etcd string // programs
	dir          string
	data         string
	frontendArgs []string

	rounds                   int
	duration, warmup, settle time.Duration

	posters      []int
	systems      []string
	to           []string // posts
	streamTo     []string
	streamCounts []int
	window       int

	// fresh, reads, pushcost
	count, etcdCount     int
	perSecond            float64
	wrk, nginx           string
	connections, threads int
	targets, writes      []string
	pushPosters          []int
	pushTo               string

	// watchers
	watchers  []int
	tellers   []string
	watchTime time.Duration
	tellRate  float64

	// spectators
	clients      []int
	spectateTime time.Duration
	readRate     float64 // of each
	spectateRate float64 // events/s
	distance     time.Duration

	// failover, handover, hang
	kills, etcdKills, handovers, hangs, etcdHangs int
	followerPause, leaderPause                    time.Duration
}

// check refuses what would take too long, or more connections than one machine should hold for this.
func (o *options) check() error {
	bounds := []struct {
		flag        string
		got         []int
		least, most int
	}{
		{"rounds", []int{o.rounds}, 1, 20},
		{"posters", o.posters, 1, 1024},
		{"streams", o.streamCounts, 1, 64},
		{"window", []int{o.window}, 1, 1 << 16},
	}
	for _, b := range bounds {
		for _, n := range b.got {
			if n < b.least || n > b.most {
				return fmt.Errorf("--%s %d: want %d to %d", b.flag, n, b.least, b.most)
			}
		}
	}
	if o.duration < 100*time.Millisecond || o.duration > time.Minute {
		return fmt.Errorf("--duration %s: want 100ms to 1m", o.duration)
	}
	if o.warmup < 0 || o.warmup > time.Minute || o.settle < 0 || o.settle > time.Minute {
		return fmt.Errorf("--warmup %s, --settle %s: want 0 to 1m", o.warmup, o.settle)
	}
	if err := oneOf("systems", o.systems, []string{laurelName, etcdName}); err != nil {
		return err
	}
	return oneOf("to", slices.Concat(o.to, o.streamTo), []string{toMaster, toAll})
}

func oneOf(flag string, got, known []string) error {
	for _, g := range got {
		if !slices.Contains(known, g) {
			return fmt.Errorf("--%s %s: want %s, or some of them with commas", flag, g, strings.Join(known, " or "))
		}
	}
	return nil
}

// limit is when a run is given up as stuck: what it should take, several times over.
func (o *options) limit() time.Duration {
	cells := len(o.posters)*len(o.systems)*len(o.to) + len(o.streamCounts)*len(o.streamTo)
	cell := o.settle + o.warmup + o.duration + 5*time.Second
	return 3*time.Duration(o.rounds)*(time.Duration(cells)*cell+10*time.Second) + 5*time.Minute
}
