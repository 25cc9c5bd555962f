package main

import (
	"context"
	"debug/buildinfo"
	"io"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes laurel_VERSION_sbom.cdx.json: the modules that are linked into the programs
// for any of the targets, as the programs themselves say, in the format of CycloneDX.
func (r *release) sbom(ctx context.Context, targets []target, out string) error {
	modules := map[string]*debug.Module{}
	goVersion := ""
	for _, t := range targets {
		for _, p := range programs {
			path, err := r.program(ctx, t, p)
			if err != nil {
				return err
			}
			info, err := buildinfo.ReadFile(path)
			if err != nil {
				return err
			}
			goVersion = strings.TrimPrefix(info.GoVersion, "go")
			for _, m := range info.Deps {
				if m.Replace != nil {
					m = m.Replace
				}
				modules[m.Path+"@"+m.Version] = m
			}
		}
	}
	components := []cdx.Component{{
		BOMRef: "std", Type: cdx.ComponentTypeLibrary, Name: "std", Version: goVersion,
		PackageURL: "pkg:golang/std@" + goVersion,
	}}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := modules[name]
		components = append(components, cdx.Component{
			BOMRef: name, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version,
			PackageURL: "pkg:golang/" + name,
			Properties: &[]cdx.Property{{Name: "go:sum", Value: m.Sum}},
		})
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: r.time.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{BOMRef: "laurel", Type: cdx.ComponentTypeApplication, Name: "laurel",
			Version: r.build},
	}
	bom.Components = &components
	return create(filepath.Join(out, "laurel_"+r.version+"_sbom.cdx.json"), func(w io.Writer) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	})
}
