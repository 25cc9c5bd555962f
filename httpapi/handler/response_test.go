package handler

import (
	"bytes"
	"net/url"
	"os/exec"
	"regexp"
	"testing"
)

func TestTheNextPageThatATextNamesCanBeCopied(t *testing.T) {
	form := regexp.MustCompile("^\nmore: --after (.*), or after=(.*) in the URL\n$")
	for _, next := range []string{
		"9.79::2,17", "-5,2", "0,A & B", "1,x;y#z", "1,it's $HOME", "1,José", "1,50%", "1,a+b", "1,`ls`", "1,\"q\\",
	} {
		var b bytes.Buffer
		NextText(&b, next)
		parts := form.FindStringSubmatch(b.String())
		if parts == nil {
			t.Fatalf("%q is written as %q", next, b.String())
		}
		if read, err := exec.Command("sh", "-c", "printf %s "+parts[1]).Output(); err != nil || string(read) != next {
			t.Errorf("a shell reads %s as %q (%v); want %q", parts[1], read, err, next)
		}
		if read, err := url.ParseQuery("after=" + parts[2]); err != nil || read.Get("after") != next {
			t.Errorf("a URL with %s has %q (%v); want %q", parts[2], read.Get("after"), err, next)
		}
	}
	var b bytes.Buffer
	if NextText(&b, ""); b.Len() > 0 {
		t.Errorf("the last page names a next one: %q", &b)
	}
}
