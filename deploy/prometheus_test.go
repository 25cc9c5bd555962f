package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rules is the file of alerts, and as much of the file of its tests as a test here needs.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Annotations map[string]string
		}
	}
	Tests []struct {
		AlertRuleTest []struct {
			Alertname string
			ExpAlerts []any `json:"exp_alerts"`
		} `json:"alert_rule_test"`
	}
}

func readRules(t *testing.T, name string) (r rules) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("prometheus", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheAlertsFireOnWhatTheyAreForAndOnNothingElse(t *testing.T) {
	needs(t, "promtool")
	output(t, "promtool", "check", "rules", "prometheus/laurel.rules.yaml")
	output(t, "promtool", "test", "rules", "prometheus/laurel.rules_test.yaml", "prometheus/quiet.rules_test.yaml")
}

// Every alert is seen to fire, and not to fire, by the tests of promtool, and has a paragraph in the runbook,
// which has no other ones.
func TestEveryAlertHasATestAndAParagraph(t *testing.T) {
	var alerts, fired, quiet, paragraphs []string
	for _, rule := range readRules(t, "laurel.rules.yaml").Groups[0].Rules {
		alerts = append(alerts, rule.Alert)
		if want := "docs/operations.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook"] != want {
			t.Errorf("the runbook of %s is %q; want %q", rule.Alert, rule.Annotations["runbook"], want)
		}
	}
	tests := append(readRules(t, "laurel.rules_test.yaml").Tests, readRules(t, "quiet.rules_test.yaml").Tests...)
	for _, test := range tests {
		for _, c := range test.AlertRuleTest {
			if len(c.ExpAlerts) > 0 {
				fired = append(fired, c.Alertname)
			} else {
				quiet = append(quiet, c.Alertname)
			}
		}
	}
	runbook, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Laurel\w+)\n\n\w`).FindAllStringSubmatch(string(runbook), -1) {
		paragraphs = append(paragraphs, m[1])
	}
	sorted := func(list []string) string {
		slices.Sort(list)
		return strings.Join(slices.Compact(list), " ")
	}
	want := sorted(alerts)
	for what, got := range map[string]string{
		"fire in a test": sorted(fired), "are quiet in a test": sorted(quiet), "have a paragraph": sorted(paragraphs),
	} {
		if got != want {
			t.Errorf("these %s:\n%s\nwant:\n%s", what, got, want)
		}
	}
}

// queries returns the queries of the dashboard, with the variables of Grafana replaced.
func queries(t *testing.T) (list []string) {
	t.Helper()
	text, err := os.ReadFile("grafana/laurel.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			list = append(list, strings.NewReplacer("$__rate_interval", "1m", "$job", "laurel").Replace(target.Expr))
		}
	}
	return list
}

func TestEveryQueryOfTheDashboardParses(t *testing.T) {
	needs(t, "promtool")
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	type group struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}
	g := group{Name: "dashboard"}
	for i, q := range queries(t) {
		g.Rules = append(g.Rules, rule{fmt.Sprintf("panel:%d", i), q})
	}
	text, err := yaml.Marshal(map[string][]group{"groups": {g}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out := output(t, "promtool", "check", "rules", file)
	if want := fmt.Sprintf("%d rules found", len(g.Rules)); !strings.Contains(out, want) {
		t.Errorf("promtool says %s; want %s", out, want)
	}
}

// unseen is metrics that a plain group without faults and certificates does not have.
var unseen = []string{
	"laurel_certificate_expiry_seconds", "laurel_foreign_answers_total", "laurel_member_put_out",
	"laurel_certified_age_seconds", "laurel_verdicts", // of sworn groups
	"laurel_backup_interval_seconds", "laurel_backup_last_success_timestamp_seconds", // with --backup
}

// A group of three frontends has every metric that an alert or a panel names, but for a few that come with
// certificates or faults, and those are in the source of Laurel.
func TestEveryMetricThatIsNamedExists(t *testing.T) {
	named := map[string]string{}
	metric := regexp.MustCompile(`\blaurel_[a-z_]+`)
	short := func(name string) string {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		return name
	}
	for _, rule := range readRules(t, "laurel.rules.yaml").Groups[0].Rules {
		for _, name := range metric.FindAllString(rule.Expr, -1) {
			named[short(name)] = rule.Alert
		}
	}
	for _, query := range queries(t) {
		for _, name := range metric.FindAllString(query, -1) {
			named[short(name)] = query
		}
	}
	live, source := liveMetrics(t), productSource(t)
	for name, by := range named {
		if slices.Contains(unseen, name) {
			if !strings.Contains(source, `"`+name+`"`) {
				t.Errorf("%s names %s, which the source does not have", by, name)
			}
		} else if !strings.Contains(live, "\n# TYPE "+name+" ") {
			t.Errorf("%s names %s, which no frontend has", by, name)
		}
	}
	if len(named) < 20 {
		t.Errorf("%d metrics are named", len(named))
	}
}

// liveMetrics returns the metrics of the frontends of a group of three.
func liveMetrics(t *testing.T) string {
	t.Helper()
	laurel, err := theRelease(t).program(t.Context(), native, "laurel")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("LAUREL_RUN_DIR", filepath.Join(dir, "run"))
	t.Cleanup(func() {
		stop := exec.Command(laurel, "stop", "frontend", "--timeout", "2m", "--run-dir", filepath.Join(dir, "run"))
		if out, err := stop.CombinedOutput(); err != nil {
			t.Errorf("stop: %v\n%s", err, out)
		}
	})
	var all strings.Builder
	said := output(t, laurel, "up", "--patience", "2m", "--data", filepath.Join(dir, "data"))
	for _, url := range slices.Compact(regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(said, -1)) {
		res, err := http.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("\n" + string(text))
	}
	return all.String()
}

// productSource returns the source of Laurel without its tests.
func productSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"backup", "cluster", "httpapi", "internal", "cmd/laurel"} {
		err := fs.WalkDir(os.DirFS(filepath.Join("..", dir)), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(filepath.Join("..", dir, path))
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
