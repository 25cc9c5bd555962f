//go:build !spy

package main

import (
	"context"
	"net/http"

	"laurel/cmd/laurel/demo"
	"laurel/internal/cli"
	"laurel/internal/frontend"
)

// startFrontend starts a frontend, and completes the routes of its debug server.
func startFrontend(o frontend.Options, debug *http.ServeMux) (*frontend.Frontend, error) {
	started, err := frontend.Start(o)
	if err == nil {
		debug.Handle("/metrics", started.Metrics())
	}
	return started, err
}

// runSpyDemo refuses to: this program has no spies in it.
func runSpyDemo(context.Context, demo.Options) error {
	return cli.Usagef("--spy needs a program with spies in it, which no release is: " +
		"go run -tags spy ./cmd/laurel demo --spy")
}
