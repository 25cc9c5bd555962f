package demo

import (
	"fmt"
	"strings"

	"laurel/internal/localgroup"
)

// intro prints what runs and what to try.
func (p *printer) intro(frontends []localgroup.Frontend, masterID, dir string) {
	var b strings.Builder
	p.ids = nil
	master, other := frontends[0], frontends[1%len(frontends)]
	fmt.Fprintf(&b, "%s\n", p.styled(bold,
		fmt.Sprintf("Three frontends run, a bard posts the Games to them, and %d clients follow.", audienceSize)))
	fmt.Fprintf(&b, "%s\n", p.styled(bold, "Ctrl-C ends everything."))
	for i, f := range frontends {
		note := ""
		if f.ID == masterID {
			note, master, other = "  master", f, frontends[(i+1)%len(frontends)]
		}
		p.ids = append(p.ids, f.ID)
		fmt.Fprintf(&b, "  %s  %s  pid %d%s\n", p.styled(bold, f.ID), f.URL(), f.PID, p.styled(green, note))
	}
	fmt.Fprintf(&b, "  data and logs: %s\n", dir)
	section := func(title string, commands ...string) {
		fmt.Fprintf(&b, "\n%s\n", p.styled(bold, title))
		for _, c := range commands {
			fmt.Fprintf(&b, "  %s\n", p.styled(cyan, foldCommand(c)))
		}
	}
	section("The live page (if its frontend dies, it continues at another one):", other.URL()+"/")
	section(fmt.Sprintf("Kill a frontend in another terminal. Its clients move, and return when it is\n"+
		"back, %.0f s later. Then kill the master: another takes over, and nothing is lost.", p.restartAfter.Seconds()),
		p.killCommandFor(other), p.killCommandFor(master))
	section("Ask any frontend:", exampleRequests(frontends)...)
	p.println("%s", b.String())
}

// exampleRequests returns shell commands, each for another frontend.
func exampleRequests(frontends []localgroup.Frontend) (list []string) {
	for i, command := range []string{
		"curl -H 'Accept: text/plain' %s/v1/scores",
		"curl -H 'Accept: text/plain' %s/v1/medals/OG50BC",
		"curl %s/v1/scores/OG50BC/CUR-X-SFNL-01",
		"curl %s/v1/timeline/OG50BC/CUR-X-SFNL-01",
		"curl -N '%s/v1/watch?competition=OG50BC'",
		"curl %s/v1/frontends",
		"curl %s/v1/events -H 'Content-Type: application/json'" +
			` -d '{"type":"alert","contest_id":"OG50BC","data":{"text":"Go, Gaul!"}}'`,
	} {
		list = append(list, fmt.Sprintf(command, frontends[i%len(frontends)].URL()))
	}
	return list
}

// killCommandFor returns the shell command that kills a frontend.
func (p *printer) killCommandFor(f localgroup.Frontend) string {
	if p.killCommand == nil {
		return fmt.Sprintf("kill -9 %d", f.PID)
	}
	return p.killCommand(f.ID)
}

// foldCommand breaks a command that is too long for a line so that it can still be pasted
// into a shell.
func foldCommand(command string) string {
	const width = 76
	var b strings.Builder
	for len(command) > width {
		at := strings.LastIndex(command[:width], " -")
		if at <= 0 {
			break
		}
		b.WriteString(command[:at] + " \\\n    ")
		command = command[at+1:]
	}
	return b.String() + command
}
