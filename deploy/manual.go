package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// completions is where each shell looks for the completions of a program.
var completions = map[string]string{
	"bash": "usr/share/bash-completion/completions/%s",
	"zsh":  "usr/share/zsh/vendor-completions/_%s",
	"fish": "usr/share/fish/vendor_completions.d/%s.fish",
}

// documents returns the completions and manual pages of the programs. They are made from
// what the programs themselves print, so they cannot differ from them.
func (r *release) documents(ctx context.Context) ([]file, error) {
	if r.manual != nil {
		return r.manual, nil
	}
	var files []file
	for _, name := range programs {
		for _, shell := range []string{"bash", "fish", "zsh"} {
			text, err := r.say(ctx, name, "completion", shell)
			if err != nil {
				return nil, err
			}
			f, err := r.put(fmt.Sprintf(completions[shell], name), text)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
		pages, err := r.pages(ctx, "", "", name)
		if err != nil {
			return nil, err
		}
		files = append(files, pages...)
	}
	r.manual = files
	return files, nil
}

// pages returns the manual pages of a command and its subcommands. short describes the
// command in a line; "" stands for the first sentence of its help. parent is the page of
// the command above it, if there is one.
func (r *release) pages(ctx context.Context, parent, short string, command ...string) ([]file, error) {
	text, err := r.say(ctx, command[0], append(slices.Clone(command[1:]), "--help")...)
	if err != nil {
		return nil, err
	}
	h := parseHelp(text)
	h.name, h.short = strings.Join(command, "-"), short
	if short == "" {
		h.short, _, _ = strings.Cut(strings.Join(h.about, " "), ". ")
	}
	if parent != "" {
		h.related = append(h.related, parent)
	}
	var below []file
	for _, c := range h.commands {
		if c.name == "completion" || c.name == "help" { // cobra's own
			continue
		}
		h.related = append(h.related, h.name+"-"+c.name)
		pages, err := r.pages(ctx, h.name, c.does, append(slices.Clone(command), c.name)...)
		if err != nil {
			return nil, err
		}
		below = append(below, pages...)
	}
	page, err := r.put("usr/share/man/man1/"+h.name+".1", h.page(r.version, r.time))
	return append([]file{page}, below...), err
}

// help is what a command says of itself.
type help struct {
	name     string   // such as laurel-cluster-status
	short    string   // in a line
	about    []string // lines
	usage    []string
	examples []string
	commands []item
	flags    []item
	related  []string // the names of other pages
}

// item is a command or a flag, and what it does.
type item struct{ name, does string }

// flagRow is a line of a list of flags: shorthand, name, type, and what it does.
var flagRow = regexp.MustCompile(`^ +((?:-\w, )?--[\w-]+(?: [\w:]+)?) {2,}(\S.*)$`)

// commandRow is a line of a list of commands.
var commandRow = regexp.MustCompile(`^  ([\w-]+) +(\S.*)$`)

// parseHelp parses the help as cobra prints it: a text, and sections that begin with a
// title of their own.
func parseHelp(text string) help {
	var h help
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch line {
		case "Usage:", "Examples:", "Available Commands:", "Flags:", "Global Flags:":
			section = line
			continue
		}
		switch section {
		case "":
			h.about = append(h.about, line)
		case "Usage:":
			h.usage = append(h.usage, strings.TrimSpace(line))
		case "Examples:":
			h.examples = append(h.examples, line)
		case "Available Commands:":
			if m := commandRow.FindStringSubmatch(line); m != nil {
				h.commands = append(h.commands, item{m[1], m[2]})
			}
		default:
			if m := flagRow.FindStringSubmatch(line); m != nil {
				h.flags = append(h.flags, item{m[1], m[2]})
			}
		}
	}
	h.usage, h.examples = trim(h.usage), trim(h.examples)
	h.about = trim(h.about)
	return h
}

// trim returns lines without empty ones at the end.
func trim(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// page returns the page in man(7).
func (h help) page(version string, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 %s \"Laurel %s\"\n", strings.ToUpper(h.name), at.Format(time.DateOnly), version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(h.name), roff(h.short))
	b.WriteString(".SH SYNOPSIS\n")
	literal(&b, h.usage)
	b.WriteString(".SH DESCRIPTION\n")
	describe(&b, h.about)
	list(&b, "COMMANDS", h.commands)
	list(&b, "OPTIONS", h.flags)
	if len(h.examples) > 0 {
		b.WriteString(".SH EXAMPLES\n")
		literal(&b, h.examples)
	}
	if len(h.related) > 0 {
		b.WriteString(".SH SEE ALSO\n")
		for i, name := range h.related {
			end := ","
			if i == len(h.related)-1 {
				end = ""
			}
			fmt.Fprintf(&b, ".BR %s (1)%s\n", roff(name), end)
		}
	}
	return b.String()
}

// describe writes a text: lines are filled, but those that are indented stay as they are.
func describe(b *strings.Builder, lines []string) {
	indented := func(line string) bool { return strings.HasPrefix(line, " ") }
	for i := 0; i < len(lines); {
		end := i + 1
		switch {
		case lines[i] == "":
			b.WriteString(".PP\n")
		case indented(lines[i]):
			for end < len(lines) && indented(lines[end]) {
				end++
			}
			literal(b, lines[i:end])
		default:
			b.WriteString(roff(lines[i]) + "\n")
		}
		i = end
	}
}

// literal writes lines as they are.
func literal(b *strings.Builder, lines []string) {
	b.WriteString(".nf\n.RS 4\n")
	for _, line := range lines {
		b.WriteString(roff(strings.TrimPrefix(line, "  ")) + "\n")
	}
	b.WriteString(".RE\n.fi\n")
}

// list writes a section with a term and a paragraph for each item.
func list(b *strings.Builder, title string, items []item) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	for _, i := range items {
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(i.name), roff(i.does))
	}
}

// roff returns a line of text as roff takes it.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
