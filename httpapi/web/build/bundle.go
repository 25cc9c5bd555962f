package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

const banner = "/*! Laurel's page, built by go generate ./httpapi/web from httpapi/web/app; " +
	"includes Preact, MIT, (c) 2015-present Jason Miller */"

// bundle returns the files that the page is served with, by name. Equal sources give
// equal bytes.
func bundle(dir string) (map[string][]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	npm := func(path string) string { return filepath.Join(dir, "npm", path) }
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: dir,
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: "app/main.tsx", OutputPath: "page"},
			{InputPath: "app/style.css", OutputPath: "style"},
			{InputPath: "app/laurel.svg", OutputPath: "laurel"},
		},
		Outdir: "dist",
		Bundle: true,
		// The types of Preact are beside its code: see paths in app/tsconfig.json.
		Alias: map[string]string{
			"preact":             npm("preact/dist/preact.mjs"),
			"preact/hooks":       npm("preact/hooks/dist/hooks.mjs"),
			"preact/jsx-runtime": npm("preact/jsx-runtime/dist/jsxRuntime.mjs"),
		},
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		LegalComments:     api.LegalCommentsNone,
		Banner:            map[string]string{"js": banner},
		Loader:            map[string]api.Loader{".svg": api.LoaderCopy},
		LogLevel:          api.LogLevelSilent,
	})
	var failed error
	for _, m := range append(result.Errors, result.Warnings...) {
		at := ""
		if m.Location != nil {
			at = fmt.Sprintf("%s:%d:%d: ", m.Location.File, m.Location.Line, m.Location.Column)
		}
		failed = errors.Join(failed, errors.New(at+m.Text))
	}
	if failed != nil {
		return nil, failed
	}
	files := make(map[string][]byte, len(result.OutputFiles))
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	return files, nil
}
