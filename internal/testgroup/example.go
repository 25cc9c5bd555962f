package testgroup

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// Example returns a TB for a runnable example, which has none of its own. The example
// must call stop at its end. Failures panic.
func Example() (tb TB, stop func()) {
	e := &example{}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, e.stop
}

type example struct {
	ctx      context.Context
	cancel   context.CancelFunc
	cleanups []func()
}

func (e *example) Helper()                        {}
func (e *example) Context() context.Context       { return e.ctx }
func (e *example) Cleanup(f func())               { e.cleanups = append(e.cleanups, f) }
func (e *example) Errorf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (e *example) Fatal(a ...any)                 { panic(fmt.Sprint(a...)) }
func (e *example) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func (e *example) TempDir() string {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	e.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (e *example) stop() {
	e.cancel()
	for _, f := range slices.Backward(e.cleanups) {
		f()
	}
}
