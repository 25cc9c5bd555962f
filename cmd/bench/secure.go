package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"laurel/trust/access"
)

// startSecure is startFrontends for a group whose members know each other by certificates. Its operator's token comes with it.
func startSecure(ctx context.Context, program, dir string, args []string) (g *frontends, operator string, err error) {
	g = &frontends{}
	started := g // an error returns none
	defer func() {
		if err != nil {
			started.stop()
		}
	}()
	ports, err := freePorts(2 * groupSize)
	if err != nil {
		return nil, "", err
	}
	for i := range groupSize {
		id := fmt.Sprintf("f%d", i+1)
		data := filepath.Join(dir, id)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, "", err
		}
		// The port speaks both; what is asked about is asked without TLS, as in a group that has none.
		flags := []string{"frontend", "--id", id, "--data", data, "--http", ports[2*i], "--peer", ports[2*i+1], "--public-url", "http://" + ports[2*i], "--log-level", "warn"}
		if i == 0 {
			flags = append(flags, "--bootstrap")
		} else {
			var made access.JoinTokenResponse
			// The operator's token is in its file a moment before the group knows it.
			if err := g.processes[0].await(ctx, func(ctx context.Context) error {
				return operate(ctx, g.urls[0]+"/v1/cluster/tokens", operator, access.JoinTokenRequest{}, &made)
			}); err != nil {
				return nil, "", err
			}
			flags = append(flags, "--join", "https://"+ports[0], "--join-token", made.Token)
		}
		p, err := start(id, dir, program, append(flags, args...)...)
		if err != nil {
			return nil, "", err
		}
		g.processes = append(g.processes, p)
		g.urls = append(g.urls, "http://"+ports[2*i])
		if err := p.await(ctx, func(ctx context.Context) error { return get(ctx, g.urls[i]+"/readyz", nil) }); err != nil {
			return nil, "", err
		}
		if i == 0 {
			if err := p.await(ctx, func(context.Context) error {
				operator, err = readToken(filepath.Join(data, "operator.token"))
				return err
			}); err != nil {
				return nil, "", err
			}
		}
	}
	return g, operator, g.processes[0].await(ctx, g.allServe)
}

func readToken(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if text := strings.TrimSpace(string(b)); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("%s is empty", file)
}
