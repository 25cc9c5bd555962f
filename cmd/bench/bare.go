package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/gorilla/mux"
	"github.com/spf13/cobra"
)

// page is one answer of a frontend, to be given by others.
type page struct {
	Path   string
	Header http.Header
	Body   []byte
}

// fetch reads a page from a frontend.
func fetch(ctx context.Context, url, path string) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", url, path, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s: status %s: %s", url, path, res.Status, clip(body))
	}
	return &page{path, res.Header, body}, nil
}

// bareCommand is the least that net/http and gorilla/mux can do: the bench starts itself as this.
func bareCommand() *cobra.Command {
	var addr, file string
	c := &cobra.Command{
		Use:    "bare",
		Short:  "Answers with constant bytes: what a frontend is measured against",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			var p page
			if err := json.Unmarshal(b, &p); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return err
			}
			server := &http.Server{Handler: p.handler()}
			context.AfterFunc(c.Context(), func() { server.Close() })
			return server.Serve(l)
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:0", "where to listen")
	c.Flags().StringVar(&file, "page", "", "the answer")
	return c
}

// handler gives the page wherever a frontend would: a route with a variable, behind the same router.
func (p *page) handler() http.Handler {
	type field struct {
		name   string
		values []string
	}
	var fields []field // in a list, so that the handler has as little to do as it can
	for name, values := range p.Header {
		if name != "Date" { // net/http's own
			fields = append(fields, field{name, values})
		}
	}
	router := mux.NewRouter().SkipClean(true)
	router.HandleFunc("/v1/scores/{contest:.+}", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for _, f := range fields {
			h[f.name] = f.values
		}
		_, _ = w.Write(p.Body)
	})
	return router
}

// startBare has this program serve a page from a process of its own.
func startBare(ctx context.Context, dir string, p *page) (*process, string, error) {
	file := filepath.Join(dir, "page.json")
	b, err := json.Marshal(p)
	if err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, "", err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	return serve(ctx, "bare", dir, p, func(addr string) (string, []string) { return self, []string{"bare", "--addr", addr, "--page", file} })
}

// serve starts a server of the page, and waits until it gives it.
func serve(ctx context.Context, name, dir string, p *page, command func(addr string) (program string, args []string)) (*process, string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	program, args := command(ports[0])
	server, err := start(name, dir, program, args...)
	if err != nil {
		return nil, "", err
	}
	url := "http://" + ports[0]
	err = server.await(ctx, func(ctx context.Context) error { return p.same(ctx, url) })
	if err != nil {
		server.kill()
		return nil, "", err
	}
	return server, url, nil
}

// same tells whether a server gives the page.
func (p *page) same(ctx context.Context, url string) error {
	got, err := fetch(ctx, url, p.Path)
	if err != nil {
		return err
	}
	if string(got.Body) != string(p.Body) {
		return fmt.Errorf("%s%s: %s bytes that are not the page's %d", url, p.Path, strconv.Itoa(len(got.Body)), len(p.Body))
	}
	return nil
}
