// Package address makes, checks and compares the addresses that leave a frontend: the URL
// at which clients reach it, which others are told, redirected to and allowed to connect
// to, and the host:port at which members reach each other. And those that come to one: the
// IP address of a client, and the Host of a request.
package address

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// URL is the URL of a frontend in its normal form, so that equal ones are ==. The zero URL
// is none.
type URL struct {
	Scheme string // http or https
	Host   string // in lower case, with the port unless it is that of the scheme
	Path   string // the prefix of all paths there: "", or a slash and segments without one at the end
}

// maxURL bounds the length of a URL.
const maxURL = 512

var schemePorts = map[string]string{"http": "80", "https": "443"}

// Parse parses the URL of a frontend, such as https://scores.example/live. It has a scheme,
// a host that is one machine's or one name's, and nothing but a plain path after that.
func Parse(text string) (URL, error) {
	wrong := func(why string) (URL, error) {
		return URL{}, fmt.Errorf("%.80q is not the URL of a frontend: %s; want one such as http://127.0.0.1:8001",
			text, why)
	}
	if len(text) > maxURL {
		return wrong(fmt.Sprintf("it has %d bytes, the most is %d", len(text), maxURL))
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return wrong(err.Error())
	case schemePorts[u.Scheme] == "":
		return wrong("its scheme is not http or https")
	case u.User != nil:
		return wrong("it has a user")
	case strings.ContainsAny(text, "?#"):
		return wrong("it has a query or a fragment")
	case strings.HasPrefix(u.Host, "[") && !strings.Contains(u.Hostname(), ":"):
		return wrong("only an IPv6 address is in brackets")
	}
	host, err := hostPort(u.Scheme, u.Hostname(), u.Port())
	switch {
	case err != nil:
		return wrong(err.Error())
	case strings.HasSuffix(host, ":0"):
		return wrong("nobody connects to port 0")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if path != "" {
		for segment := range strings.SplitSeq(path[1:], "/") {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, isNotPlain) {
				return wrong("its path is not of segments of letters, digits and ._~-")
			}
		}
	}
	return URL{u.Scheme, host, path}, nil
}

// ParseTyped is Parse for the URL that a person has typed. Without a scheme it means http.
func ParseTyped(text string) (URL, error) {
	text = strings.TrimSpace(text)
	if text != "" && !strings.Contains(text, "://") {
		text = "http://" + text
	}
	return Parse(text)
}

func isNotPlain(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._~-", r))
}

// hostPort returns the normal form of a host and a port, which may be "".
func hostPort(scheme, host, port string) (string, error) {
	host = normalHost(host)
	if err := CheckHost(host); err != nil {
		return "", err
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", fmt.Errorf("%.80q is not a port", port)
		}
		port = strconv.FormatUint(n, 10)
	}
	switch {
	case port != "" && port != schemePorts[scheme]:
		return net.JoinHostPort(host, port), nil
	case strings.Contains(host, ":"):
		return "[" + host + "]", nil
	}
	return host, nil
}

// Of returns the URL of a frontend that listens for clients at host:port and is given no
// other one. A name stays a name. If the host stands for all addresses, the URL has the
// name of the machine.
func Of(secure bool, listen, machine string) (URL, error) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return URL{}, err
	}
	if IsUnspecified(host) {
		host = normalHost(machine)
		if err := CheckHost(host); err != nil || IsLoopback(host) || IsUnspecified(host) {
			return URL{}, fmt.Errorf("%s is every address of this machine, and others cannot use its name, %.80q",
				listen, machine)
		}
	}
	at, err := hostPort(scheme, host, port)
	if err != nil {
		return URL{}, fmt.Errorf("%s: %w", listen, err)
	}
	return URL{Scheme: scheme, Host: at}, nil
}

// String returns the text of the URL, without a slash at the end; "" for none.
func (u URL) String() string {
	if u == (URL{}) {
		return ""
	}
	return u.Origin() + u.Path
}

// Origin returns the origin of the pages at the URL, as browsers write it; "" for none.
func (u URL) Origin() string {
	if u == (URL{}) {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Hostname returns the name or the IP address of the host.
func (u URL) Hostname() string { return Hostname(u.Host) }

// HostPort returns the host and the port to connect to.
func (u URL) HostPort() string {
	if _, _, err := net.SplitHostPort(u.Host); err == nil {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), schemePorts[u.Scheme])
}

// Serves reports whether a request with a scheme and a Host was made to the URL.
func (u URL) Serves(scheme, host string) bool {
	name, port := splitHost(host)
	at, err := hostPort(scheme, name, port)
	return err == nil && scheme == u.Scheme && at == u.Host
}

// Reaches reports whether a client that has come by u can be sent to another URL. It may
// not trust the certificate of another scheme, and may be outside of the network that has
// a host of the inside.
func (u URL) Reaches(other URL) bool {
	return u != other && u.Scheme == other.Scheme && other.ReachedFrom(u.Hostname()) &&
		(isInside(u.Hostname()) || !isInside(other.Hostname()))
}

// isInside reports whether a host means something in one network only: it is a private
// address, or a name without a domain.
func isInside(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return !strings.Contains(host, ".")
	}
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
}

// ReachedFrom reports whether a client that has come by a host, without a port, can use u:
// a loopback address is another machine's there, unless the host is one, too.
func (u URL) ReachedFrom(host string) bool {
	return u != (URL{}) && (IsLoopback(host) || !IsLoopback(u.Hostname()))
}

// Hostname returns the name or the IP address, in its normal form, of a host with or
// without a port.
func Hostname(host string) string {
	name, _ := splitHost(host)
	return normalHost(name)
}

// splitHost splits a host with or without a port. It removes the brackets of an IPv6
// address.
func splitHost(text string) (host, port string) {
	if host, port, err := net.SplitHostPort(text); err == nil {
		return host, port
	}
	if n := len(text); n > 1 && text[0] == '[' && text[n-1] == ']' {
		text = text[1 : n-1]
	}
	return text, ""
}

// normalHost returns one text for all the ways to write a host.
func normalHost(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(host)
}

// CheckPeer checks the host:port at which other members reach this one. Port 0 stands for
// one that the system chooses.
func CheckPeer(addr string) error {
	host, err := hostOf(addr)
	if err != nil {
		return err
	}
	return CheckHost(host)
}

// CheckListen checks the form of a host:port to listen on. The host may be "" for every
// address.
func CheckListen(addr string) error {
	_, err := hostOf(addr)
	return err
}

// hostOf returns the host of a host:port. The error does not quote the whole text.
func hostOf(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if e, ok := errors.AsType[*net.AddrError](err); ok {
		return "", errors.New(e.Err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("the port %.20q is not one of 0 to 65535", port)
	}
	return host, nil
}

const maxHost = 253

// CheckHost returns an error unless host is a name, or an IP address of one machine.
func CheckHost(host string) error {
	if IsUnspecified(host) {
		return fmt.Errorf("%q is every address of a machine, so others cannot use it", host)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		return nil
	}
	ok, last := len(host) <= maxHost, ""
	for label := range strings.SplitSeq(host, ".") {
		ok = ok && label != "" && len(label) <= 63 && !strings.ContainsFunc(label, notInLabel)
		last = label
	}
	// A name that ends in a number is an address to some programs.
	if !ok || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x") {
		return fmt.Errorf("%.80q is not a host; want a name such as scores.example.org, or an IP address", host)
	}
	return nil
}

func notInLabel(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// IsLoopback reports whether a host, without a port, is this machine for everybody who
// uses it.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// IsUnspecified reports whether a host stands for all addresses of a machine.
func IsUnspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsUnspecified() || host == ""
}
