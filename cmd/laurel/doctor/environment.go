package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"laurel/client"
	"laurel/cluster/disk"
	"laurel/trust/pki"
)

// Environment is what the checks ask of the world.
type Environment struct {
	Now         func() time.Time
	Stat        func(path string) (fs.FileInfo, error)
	TryWrite    func(dir string) error
	Free        func(dir string) (int64, error)
	FileSystem  func(dir string) (kind string, err error)
	Sync        func(dir string, n int, limit time.Duration) ([]time.Duration, error)
	OpenFiles   func() (limit uint64, err error)
	ClockSynced func() (bool, error)
	Listen      func(addr string) error
	Lookup      func(ctx context.Context, host string) error
	// Probe asks whether the frontend at a URL runs.
	Probe func(ctx context.Context, url string) (Answer, error)
	// Dial connects to a port for members. With an identity it returns the name in the
	// certificate that is shown there, id@instance.
	Dial func(ctx context.Context, addr string, i *pki.Identity) (member string, err error)

	close func()
}

// Answer is that of a frontend to Probe.
type Answer struct {
	Asked   time.Time
	Took    time.Duration
	Date    time.Time // by its clock, in whole seconds; zero if it does not say
	Expires time.Time // its certificate; zero without TLS
}

// ThisMachine returns the environment of this process. config is for frontends with HTTPS;
// nil trusts the roots of the machine.
func ThisMachine(config *tls.Config) *Environment {
	transport := client.NewTransport(1)
	transport.TLSClientConfig = config.Clone()
	p := &prober{http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return &Environment{
		Now: time.Now, Stat: os.Stat, TryWrite: tryWrite, Free: disk.Free, FileSystem: fileSystem, Sync: writeAndSync,
		OpenFiles: openFiles, ClockSynced: clockSynced, Listen: listen, Lookup: lookup, Probe: p.probe, Dial: dial,
		close: transport.CloseIdleConnections,
	}
}

func listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}

func lookup(ctx context.Context, host string) error {
	_, err := net.DefaultResolver.LookupHost(ctx, host)
	return err
}

type prober struct{ http.Client }

func (p *prober) probe(ctx context.Context, url string) (a Answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/livez", nil)
	if err != nil {
		return a, err
	}
	a.Asked = time.Now()
	resp, err := p.Do(r)
	if err != nil {
		return a, err
	}
	a.Took = time.Since(a.Asked)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // for the connection to be used again
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Laurel-Frontend") == "" {
		return a, fmt.Errorf("what answers is no frontend that runs: status %d", resp.StatusCode)
	}
	a.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	// The second has begun at any time up to a second before.
	if a.Date.Add(time.Second).After(a.Asked) && a.Date.Before(a.Asked.Add(a.Took)) {
		a.Date = a.Asked.Add(a.Took / 2)
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		a.Expires = resp.TLS.PeerCertificates[0].NotAfter
	}
	return a, nil
}

func dial(ctx context.Context, addr string, i *pki.Identity) (member string, err error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if i == nil {
		return "", nil
	}
	secure := tls.Client(c, i.PeerClientConfig(""))
	if err := secure.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("TLS: %w", err)
	}
	h, err := pki.HolderOf(secure.ConnectionState().PeerCertificates[0])
	return h.Member, err
}
