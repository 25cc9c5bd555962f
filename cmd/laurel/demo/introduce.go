package demo

import (
	"fmt"
	"strings"

	"laurel/internal/localgroup"
)

// introduce says what there is and what to try.
func (t *ticker) introduce(frontends []localgroup.Frontend, master, dir string) {
	var b strings.Builder
	t.ids = nil
	leader, other := frontends[0], frontends[1%len(frontends)]
	fmt.Fprintf(&b, "%s\n", t.in(bold, fmt.Sprintf("Three frontends are up, a bard sings them the Games, and %d clients follow.", spectators)))
	fmt.Fprintf(&b, "%s\n", t.in(bold, "Ctrl-C ends it all."))
	for i, f := range frontends {
		note := ""
		if f.ID == master {
			note, leader, other = "  master", f, frontends[(i+1)%len(frontends)]
		}
		t.ids = append(t.ids, f.ID)
		fmt.Fprintf(&b, "  %s  %s  pid %d%s\n", t.in(bold, f.ID), f.URL(), f.PID, t.in(green, note))
	}
	fmt.Fprintf(&b, "  data and logs: %s\n", dir)
	section := func(title string, lines ...string) {
		fmt.Fprintf(&b, "\n%s\n", t.in(bold, title))
		for _, line := range lines {
			fmt.Fprintf(&b, "  %s\n", t.in(cyan, fold(line)))
		}
	}
	section("The live page (kill the frontend under it, and it goes on at another):", other.URL()+"/")
	section("Kill a frontend, in another terminal: its clients move, and come home after it\n"+
		fmt.Sprintf("is back, %.0f s later. Then the master: another takes over, and nothing is lost.", awayFor.Seconds()),
		t.killing(other), t.killing(leader))
	section("Ask, at whichever frontend:", questions(frontends)...)
	t.say("%s", b.String())
}

// questions are commands that ask, each another frontend.
func questions(frontends []localgroup.Frontend) (list []string) {
	for i, ask := range []string{
		"curl -H 'Accept: text/plain' %s/v1/scores",
		"curl -H 'Accept: text/plain' %s/v1/medals/OG50BC",
		"curl %s/v1/scores/OG50BC/CUR-X-SFNL-01",
		"curl %s/v1/timeline/OG50BC/CUR-X-SFNL-01",
		"curl -N %s/v1/watch?competition=OG50BC",
		"curl %s/v1/frontends",
		"curl %s/v1/events -H 'Content-Type: application/json'" +
			` -d '{"type":"alert","contest_id":"OG50BC","data":{"text":"Go, Gaul!"}}'`,
	} {
		list = append(list, fmt.Sprintf(ask, frontends[i%len(frontends)].URL()))
	}
	return list
}

// killing is the command that kills a frontend.
func (t *ticker) killing(f localgroup.Frontend) string {
	if t.kill == nil {
		return fmt.Sprintf("kill -9 %d", f.PID)
	}
	return t.kill(f.ID)
}

// fold breaks a command that is too long for a line, so that it can still be copied to a shell.
func fold(command string) string {
	const most = 76
	var b strings.Builder
	for len(command) > most {
		at := strings.LastIndex(command[:most], " -")
		if at <= 0 {
			break
		}
		b.WriteString(command[:at] + " \\\n    ")
		command = command[at+1:]
	}
	return b.String() + command
}
