package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// nginxSettings serve files as fast as nginx does: one worker a core, no log, the file kept open, connections that are never closed for their age.
const nginxSettings = `%[4]sdaemon off;
pid %[1]s/pid;
error_log stderr error;
worker_processes %[2]d;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000000;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=16;
	default_type application/json;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[3]s;
		root %[1]s/root;
		log_not_found off;
	}
}
`

// startNginx has nginx serve a page from a file.
func startNginx(ctx context.Context, program, dir string, p *page) (*process, string, error) {
	dir = filepath.Join(dir, "nginx")
	file := filepath.Join(dir, "root", filepath.FromSlash(p.Path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(file, p.Body, 0o644); err != nil {
		return nil, "", err
	}
	settings := filepath.Join(dir, "nginx.conf")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // another could not read the page
	}
	var failed error
	server, url, err := serve(ctx, "nginx", dir, p, func(addr string) (string, []string) {
		failed = os.WriteFile(settings, fmt.Appendf(nil, nginxSettings, dir, runtime.NumCPU(), addr, user), 0o600)
		return program, []string{"-p", dir, "-e", "stderr", "-c", settings}
	})
	if failed != nil {
		return nil, "", failed
	}
	return server, url, err
}
