package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
	"laurel/trust/access"
)

// startRival starts the contest that is read.
func startRival(ctx context.Context, g *frontends) (_ *rival, err error) {
	r := &rival{frontends: g}
	if r.order, err = g.order(ctx); err == nil {
		var writers []load.Writer
		if writers, err = r.signers(ctx, 1); err == nil {
			r.bard = writers[0].(*load.Signer)
			r.path = "/v1/scores/" + r.bard.Contest()
			for i := 0; i < 100 && err == nil; i++ {
				err = r.bard.Write(ctx)
			}
		}
	}
	if err == nil && g.key != "" {
		err = r.writePolicy(ctx)
	}
	if err != nil {
		g.stop()
		return nil, err
	}
	return r, nil
}

// signers returns n bards that sign with one key and post to the master.
func (g *frontends) signers(ctx context.Context, n int) ([]load.Writer, error) {
	addrs, err := g.targets(ctx, toMaster, n)
	if err != nil {
		return nil, err
	}
	private, lineage, err := g.grantBard(ctx, "bard")
	if err != nil {
		return nil, err
	}
	run := load.NewRun()
	return load.OpenAll(n, func(i int) (load.Writer, error) {
		return load.NewSigner(ctx, addrs[i], load.NewPlays(run, i+1), private, lineage, false)
	})
}

// command returns laurel with arguments, in the name of the group's operator if it has one.
func (g *frontends) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.program, args...)
	cmd.Env = []string{"HOME=" + g.dir, "LAUREL_URL=" + strings.Join(g.urls, ",")}
	if g.key != "" && args[0] != "scores" {
		cmd.Env = append(cmd.Env, "LAUREL_OPERATOR_KEY="+g.key)
	}
	return cmd
}

// laurel runs laurel with arguments and returns what it prints.
func (g *frontends) laurel(ctx context.Context, args ...string) (string, error) {
	cmd := g.command(ctx, args...)
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd, err, told.String())
	}
	return strings.TrimSpace(string(out)), err
}

// swearIn has the operator sign the key of a frontend, and returns a token with which it may
// join.
func (g *frontends) swearIn(ctx context.Context, f localgroup.Frontend) (string, error) {
	key, err := g.laurel(ctx, "roster", "key", "--data", f.Dir)
	if err != nil {
		return "", err
	}
	if _, err := g.laurel(ctx, "roster", "set", f.ID, key); err != nil {
		return "", err
	}
	return g.laurel(ctx, "cluster", "token")
}

// grantSigned has the operator sign a grant.
func (g *frontends) grantSigned(ctx context.Context, r access.GrantRequest) error {
	_, err := g.laurel(ctx, "access", "grant", r.Name, "--role", string(r.Role), "--rate",
		strconv.FormatFloat(r.Rate, 'f', 0, 64), "--key", base64.StdEncoding.EncodeToString(r.Public))
	return err
}

// policyFile is the file with the policy for readers.
func (g *frontends) policyFile() string { return filepath.Join(g.dir, "policy") }

// writePolicy writes it.
func (g *frontends) writePolicy(ctx context.Context) error {
	key, err := g.laurel(ctx, "roster", "key", "--data", filepath.Join(g.dir, "f1"))
	if err != nil {
		return err
	}
	text, err := g.laurel(ctx, "policy", "f1="+key)
	if err != nil {
		return err
	}
	return os.WriteFile(g.policyFile(), []byte(text+"\n"), 0o600)
}
