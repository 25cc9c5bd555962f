package backup

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"laurel/backup/s3"
	"laurel/internal/address"
)

// Plan is where backups go, how often, and how many stay.
type Plan struct {
	Target Target
	Every  time.Duration
	Keep   int // 0: all stay
}

const (
	defaultEvery  = 10 * time.Minute
	minEvery      = time.Second
	maxEvery      = 7 * 24 * time.Hour
	maxKeep       = 10_000
	defaultRegion = "us-east-1"
)

// ParseURL reads a plan from one of
//
//	file:///DIR?every=10m&keep=24
//	s3://BUCKET/PREFIX?every=10m&keep=24&region=R&endpoint=URL&style=path&credentials=FILE
//
// All parameters may be left out. data is the data directory of the frontend: no backup may be
// kept there, and a file that must be made before it is sent is made there.
//
// The credentials of a bucket are those of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN or, with credentials=FILE, of the [default] section of a credentials file
// of AWS, which is read again for each request. No error names them.
func ParseURL(text, data string) (p Plan, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return p, errors.New("it is no URL") // the error of url.Parse quotes it, with its secrets
	}
	if u.User != nil {
		return p, errors.New("it has credentials; other users can see a command line, so give them as " +
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in a file with credentials=FILE")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return p, errors.New("its parameters cannot be read; quote the URL and escape # as %23")
	}
	known := []string{"every", "keep"}
	if u.Scheme == "s3" {
		known = append(known, "region", "endpoint", "style", "credentials")
	}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return p, fmt.Errorf("there is no parameter %.20q for %s; there are %s", name, u.Scheme,
				strings.Join(known, ", "))
		}
		if len(values) != 1 || values[0] == "" {
			return p, fmt.Errorf("%s= must have one value", name)
		}
	}
	if err := p.schedule(query); err != nil {
		return p, err
	}
	switch u.Scheme {
	case "file":
		p.Target, err = parseDirectory(u, data)
	case "s3":
		p.Target, err = parseBucket(u, query, data)
	default:
		err = errors.New("want file:///DIR or s3://BUCKET/PREFIX, with every= and keep= if you like")
	}
	return p, err
}

func (p *Plan) schedule(query url.Values) (err error) {
	p.Every = defaultEvery
	if text := query.Get("every"); text != "" {
		p.Every, err = time.ParseDuration(text)
		if err != nil || p.Every < minEvery || p.Every > maxEvery {
			return fmt.Errorf("every=%.20s; want %s to %s, such as 10m", text, minEvery, maxEvery)
		}
	}
	if text := query.Get("keep"); text != "" {
		p.Keep, err = strconv.Atoi(text)
		if err != nil || p.Keep < 1 || p.Keep > maxKeep {
			return fmt.Errorf("keep=%.20s; want 1 to %d, or leave it out to delete nothing", text, maxKeep)
		}
	}
	return nil
}

func parseDirectory(u *url.URL, data string) (Target, error) {
	if u.Host != "" || !filepath.IsAbs(u.Path) {
		return nil, errors.New("want an absolute directory after file://, such as file:///var/backups/laurel")
	}
	dir := filepath.Clean(u.Path)
	if data != "" && isIn(dir, data) {
		return nil, fmt.Errorf("%s is in the data directory, and would be lost with it; name one on another disk", dir)
	}
	return directory(dir), nil
}

// isIn reports whether a directory is another one, or in it. It looks at their names only.
func isIn(dir, other string) bool {
	other, err := filepath.Abs(other)
	if err != nil {
		return false
	}
	way, err := filepath.Rel(other, dir)
	return err == nil && filepath.IsLocal(way)
}

func parseBucket(u *url.URL, query url.Values, spool string) (Target, error) {
	if u.Host == "" || u.Port() != "" {
		return nil, errors.New("want the name of a bucket after s3://")
	}
	prefix := strings.TrimPrefix(u.Path, "/")
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	b := &s3.Bucket{Region: query.Get("region"), Prefix: prefix, Credentials: credentialsOf(query.Get("credentials"))}
	if b.Region == "" {
		b.Region = defaultRegion
	}
	// A certificate for *.s3.REGION.amazonaws.com is for no name with a dot in the place of *.
	inHost := query.Get("endpoint") == "" && !strings.Contains(u.Host, ".")
	switch query.Get("style") {
	case "":
	case "path":
		inHost = false
	case "host":
		inHost = true
	default:
		return nil, fmt.Errorf("style=%.20q; want path or host", query.Get("style"))
	}
	base, err := endpointOf(query.Get("endpoint"), b.Region)
	if err != nil {
		return nil, err
	}
	if inHost {
		base.Host = u.Host + "." + base.Host
	} else {
		base.Path = "/" + u.Host
	}
	b.Base = base
	return &bucket{name: "s3://" + u.Host + "/" + prefix, objects: b, spool: spool}, nil
}

// endpointOf returns the URL of an S3 service.
func endpointOf(text, region string) (*url.URL, error) {
	if text == "" {
		text = "https://s3." + region + ".amazonaws.com"
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("endpoint= must be a URL such as https://minio.example:9000")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && address.IsLoopback(u.Hostname())) {
		return nil, errors.New("endpoint= must be an https URL: a backup has everything that a private store has; " +
			"http is for loopback addresses only")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// credentialsOf returns a function that reads the credentials, from a file if one is named.
func credentialsOf(file string) func() (s3.Credentials, error) {
	return func() (c s3.Credentials, err error) {
		source := "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; set them, or give credentials=FILE"
		if file == "" {
			c = s3.Credentials{
				AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), Secret: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				Session: os.Getenv("AWS_SESSION_TOKEN"),
			}
		} else {
			content, err := os.ReadFile(file)
			if err != nil {
				return c, fmt.Errorf("read the credentials: %w", err)
			}
			c = parseCredentials(string(content))
			source = fmt.Sprintf("the section [default] of %s lacks aws_access_key_id or aws_secret_access_key", file)
		}
		if c.AccessKey == "" || c.Secret == "" {
			return c, errors.New("there are no credentials: " + source)
		}
		return c, nil
	}
}

// parseCredentials reads the section [default] of a credentials file of AWS.
func parseCredentials(content string) (c s3.Credentials) {
	section := ""
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || section != "[default]" {
			continue
		}
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.AccessKey = value
		case "aws_secret_access_key":
			c.Secret = value
		case "aws_session_token":
			c.Session = value
		}
	}
	return c
}
