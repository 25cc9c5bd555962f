package main

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// manifests is what kubernetes/laurel.yaml has.
type manifests struct {
	services map[string]*core.Service
	budget   policy.PodDisruptionBudget
	set      apps.StatefulSet
}

// readManifests decodes the manifests. A field that the API does not have is an error, and so is a field that
// is there twice.
func readManifests(t *testing.T) (m manifests) {
	t.Helper()
	text, err := os.ReadFile("kubernetes/laurel.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m.services = map[string]*core.Service{}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		var into any
		switch kind.APIVersion + " " + kind.Kind {
		case "v1 Service":
			into = new(core.Service)
		case "policy/v1 PodDisruptionBudget":
			into = &m.budget
		case "apps/v1 StatefulSet":
			into = &m.set
		default:
			t.Fatalf("a document is of kind %+v", kind)
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
		if s, ok := into.(*core.Service); ok {
			m.services[s.Name] = s
		}
	}
	return m
}

func TestTheManifestsAreOfTheAPIAndFitTogether(t *testing.T) {
	m := readManifests(t)
	spec := m.set.Spec
	labels := spec.Template.Labels
	for name, selector := range map[string]map[string]string{
		"stateful set": spec.Selector.MatchLabels, "budget": m.budget.Spec.Selector.MatchLabels,
		"peers": m.services["laurel-peers"].Spec.Selector, "clients": m.services["laurel"].Spec.Selector,
	} {
		if !maps.Equal(selector, labels) {
			t.Errorf("%s selects %v; the pods are %v", name, selector, labels)
		}
	}
	peers := m.services[spec.ServiceName]
	if peers == nil || peers.Spec.ClusterIP != core.ClusterIPNone || !peers.Spec.PublishNotReadyAddresses ||
		spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Error("the pods cannot find each other before they are ready")
	}
	if budget := m.budget.Spec.MaxUnavailable; budget == nil || budget.IntValue() != 1 {
		t.Errorf("the budget lets %v pods be unavailable; want 1", budget)
	}
	c := spec.Template.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for _, s := range m.services {
		for _, p := range s.Spec.Ports {
			if !ports[p.TargetPort.String()] {
				t.Errorf("service %s leads to port %s, which no container has", s.Name, p.TargetPort.String())
			}
		}
	}
	volumes := map[string]bool{spec.VolumeClaimTemplates[0].Name: true}
	for _, v := range spec.Template.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, mount := range c.VolumeMounts {
		if !volumes[mount.Name] {
			t.Errorf("there is no volume %s", mount.Name)
		}
	}
}

func TestTheManifestsStartWhatThisVersionIs(t *testing.T) {
	m, r := readManifests(t), theRelease(t)
	spec := m.set.Spec.Template.Spec
	c := spec.Containers[0]
	if c.Image != "laurel:"+r.version {
		t.Errorf("the image is %s; this is %s", c.Image, r.version)
	}
	if id := spec.SecurityContext.RunAsUser; id == nil || *id != imageUser || *spec.SecurityContext.FSGroup != imageUser {
		t.Errorf("the pod runs as %v; the image is made for %d", id, imageUser)
	}
	given := checkFlags(t, c.Args)
	if expect := given["bootstrap-expect"]; expect != "" && expect != "3" || *m.set.Spec.Replicas != 3 {
		t.Errorf("%d pods, and --bootstrap-expect is %s", *m.set.Spec.Replicas, expect)
	}
	api, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, probe := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if !strings.Contains(string(api), "\n  "+probe.HTTPGet.Path+":\n") {
			t.Errorf("no route is %s", probe.HTTPGet.Path)
		}
	}
}

// checkFlags checks that laurel frontend has the flags of a command line, and returns their values.
func checkFlags(t *testing.T, line []string) map[string]string {
	t.Helper()
	help, err := theRelease(t).say(t.Context(), "laurel", "frontend", "--help")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, f := range parseHelp(help).flags {
		name, _, _ := strings.Cut(f.name[strings.Index(f.name, "--")+2:], " ")
		known = append(known, name)
	}
	given := map[string]string{}
	for _, arg := range line {
		flag, is := strings.CutPrefix(arg, "--")
		if !is {
			continue
		}
		name, value, _ := strings.Cut(flag, "=")
		given[name] = value
		if !slices.Contains(known, name) {
			t.Errorf("laurel frontend has no flag --%s", name)
		}
	}
	if len(given) == 0 {
		t.Error("no flags were given")
	}
	return given
}
