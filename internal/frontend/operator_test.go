package frontend

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"laurel/cache/queries"
	"laurel/cluster"
	"laurel/httpapi"
	"laurel/trust/access"
)

// recovered is a frontend that has a request for an operator in its data directory.
type recovered struct {
	*testing.T
	*Frontend
	file  string
	token access.BearerToken
	log   bytes.Buffer
}

func askForOperator(t *testing.T, o cluster.Options) *recovered {
	t.Helper()
	f, _ := startWorldFrontend(t, 1, o, httpapi.Options{})
	r := &recovered{T: t, Frontend: f, file: filepath.Join(f.options.Dir, recoveryFile)}
	f.options.Logger = slog.New(slog.NewTextHandler(&r.log, nil))
	var err error
	if r.token, err = AskForOperator(f.options.Dir); err != nil {
		t.Fatal(err)
	}
	return r
}

// isOperator reports whether the group knows the token as an operator's.
func (r *recovered) isOperator() bool {
	g, err := r.member.Access().Authenticate(r.token, time.Now())
	return err == nil && g.Role == access.RoleOperator
}

// lines returns how many lines of the audit trail are about the token. The frontend may add
// others at any moment.
func (r *recovered) lines() (n int) {
	_, _, err := r.member.Stale(func(v queries.View) error {
		list, _, err := v.Audit(0, 100)
		for _, entry := range list {
			if strings.Contains(entry.What, r.token.ID) {
				n++
			}
		}
		return err
	})
	if err != nil {
		r.Error(err)
	}
	return n
}

func (r *recovered) expectRequestGone() {
	r.Helper()
	if _, err := os.Stat(r.file); !errors.Is(err, fs.ErrNotExist) {
		r.Errorf("the request is still there: %v", err)
	}
}

func TestAFrontendHasTheOperatorMadeThatItsDataDirectoryAsksFor(t *testing.T) {
	r := askForOperator(t, secureOptions(t, t.TempDir()))
	request, err := os.ReadFile(r.file)
	if err != nil || strings.Contains(string(request), r.token.Secret) {
		t.Fatalf("the request is %s, %v; want one without the secret", request, err)
	}
	if r.isOperator() {
		t.Error("the token is good before the frontend has started with the request")
	}
	r.recoverOperator(t.Context())
	if !r.isOperator() || !strings.Contains(r.log.String(), "level=WARN") {
		t.Errorf("the token is not an operator's; the log is\n%s", &r.log)
	}
	r.expectRequestGone()

	// It crashed before it had deleted the request.
	if err := os.WriteFile(r.file, request, 0o600); err != nil {
		t.Fatal(err)
	}
	before := r.lines()
	if before == 0 {
		t.Error("the audit trail does not have the token")
	}
	r.recoverOperator(t.Context())
	if r.expectRequestGone(); r.lines() != before || !r.isOperator() {
		t.Errorf("the same request again changed something")
	}
}

func TestARequestForAnOperatorThatIsRefusedIsNotRepeated(t *testing.T) {
	for what, begin := range map[string]func(t *testing.T) *recovered{
		"by an insecure group": func(t *testing.T) *recovered {
			return askForOperator(t, cluster.Options{Bootstrap: true})
		},
		"because the token was revoked": func(t *testing.T) *recovered {
			r := askForOperator(t, secureOptions(t, t.TempDir()))
			other, revoked := access.NewBearerToken(), r.token
			for _, c := range []access.Change{
				{Grant: &access.Grant{ID: other.ID, Hash: other.Hash(), Name: "b", Role: access.RoleOperator}},
				{Grant: &access.Grant{ID: revoked.ID, Hash: revoked.Hash(), Name: "a", Role: access.RoleOperator}},
				{Revoke: revoked.ID},
			} {
				c.By = "getafix"
				if err := r.member.ChangeAccess(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			return r
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := begin(t)
			r.recoverOperator(t.Context())
			if r.isOperator() || !strings.Contains(r.log.String(), "level=ERROR") {
				t.Errorf("the log is\n%s", &r.log)
			}
			r.expectRequestGone()
		})
	}
}

func TestADamagedRequestForAnOperatorIsLogged(t *testing.T) {
	r := askForOperator(t, secureOptions(t, t.TempDir()))
	for _, text := range []string{"", "{", `{"id":7}`, "x"} {
		if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.log.Reset()
		r.recoverOperator(t.Context())
		if !strings.Contains(r.log.String(), "run laurel access recover again") {
			t.Errorf("%q: the log is\n%s", text, &r.log)
		}
	}
	if grants := r.member.Access().Grants; len(grants) > 0 {
		t.Errorf("the grants are %v", grants)
	}
}
