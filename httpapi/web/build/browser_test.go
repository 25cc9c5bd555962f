package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// within is how long anything may take to be seen in the page, on a machine that has other things to do.
const within = 20 * time.Second

var browser = sync.OnceValues(func() (context.Context, error) {
	path := ""
	for _, name := range []string{os.Getenv("LAUREL_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("no Chromium in PATH or LAUREL_CHROMIUM; on Debian: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	endBrowser = func() { end(); endAllocator() }
	return ctx, chromedp.Do(ctx)
})

var endBrowser = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	endBrowser()
	removeProgram()
	os.Exit(code)
}

// needBrowser skips a test where there is no browser, but not where nothing may be skipped.
func needBrowser(t testing.TB) context.Context {
	t.Helper()
	ctx, err := browser()
	switch {
	case err == nil:
	case os.Getenv("LAUREL_CI") == "full":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return ctx
}

// tab is a page that is looked at.
type tab struct {
	t      testing.TB
	ctx    context.Context
	close  func()
	broken *faults
}

// faults are what the page threw, and what it asked of strangers.
type faults struct {
	mu   sync.Mutex
	list []string
}

func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

// look is how a person looks at a page.
type look struct {
	width, height int64
	dark, still   bool // a dark scheme; less motion
	noScript      bool
}

var (
	phone   = look{width: 360, height: 780}
	desktop = look{width: 1280, height: 800}
)

// newTab opens an empty tab: in a browser of its own, or beside another one.
func newTab(t testing.TB, l look, beside *tab) *tab {
	t.Helper()
	parent := needBrowser(t)
	var options []chromedp.ContextOption
	if beside == nil {
		options = append(options, chromedp.WithNewBrowserContext())
	} else {
		parent = beside.ctx
	}
	ctx, cancel := chromedp.NewContext(parent, options...)
	b := &tab{t: t, ctx: ctx, close: sync.OnceFunc(cancel), broken: new(faults)}
	t.Cleanup(func() {
		b.close()
		for _, f := range b.broken.list {
			t.Error(f)
		}
	})
	err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			b.broken.add("the page threw: %s", thrown(e.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.run(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 600}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: l.media()}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScript}),
	)
	return b
}

func thrown(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

// command is a command of the protocol as a step.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (l look) media() []*emulation.MediaFeature {
	scheme, motion := "light", "no-preference"
	if l.dark {
		scheme = "dark"
	}
	if l.still {
		motion = "reduce"
	}
	return []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}}
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(steps...))
}

// get runs an action for its value.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *tab) open(url string) *tab {
	b.t.Helper()
	b.run(chromedp.Navigate(url))
	return b
}

// before runs a script in each page before its own.
func (b *tab) before(script string) {
	b.t.Helper()
	b.run(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}))
}

// eval evaluates an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// do runs a script in the page.
func (b *tab) do(script string) {
	b.t.Helper()
	eval[chromedp.Void](b, script)
}

// until waits until an expression is true in the page.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	b.untilWithin(within, what, expression)
}

func (b *tab) untilWithin(d time.Duration, what, expression string) {
	b.t.Helper()
	if !b.sees(d, expression) {
		b.t.Fatalf("%s is not seen within %s. The page says:\n%s", what, d, eval[string](b, "document.body.innerText"))
	}
}

func (b *tab) sees(d time.Duration, expression string) bool {
	b.t.Helper()
	for deadline := time.Now().Add(d); ; time.Sleep(30 * time.Millisecond) { // a look, not a wait for something to be done
		if eval[bool](b, "Boolean("+expression+")") {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func (b *tab) live() *tab {
	b.t.Helper()
	b.until("that the page is live", `document.querySelector('.strip[data-phase=live]')`)
	return b
}

// strip is what the strip says of one thing.
func (b *tab) strip(of string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector('[data-of=%s]').textContent`, of))
}

func (b *tab) press(keys string) {
	b.t.Helper()
	if len(keys) > 1 || keys < " " {
		b.run(chromedp.KeyEvent(keys))
		return
	}
	// As a keyboard does it: what the page prevents brings no sign.
	b.run(command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: keys, Text: keys}),
		command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: keys}))
}

// eventually waits for something outside the page.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}

const (
	match     = "OG50BC/CUR-X-SFNL-01"
	matchView = "/#/contest/" + match
)

// side finds what the list shows as the result of a contest's side (1, 2).
func inList(contest string, side int) string {
	return fmt.Sprintf(`document.querySelector('a[href=%q]')?.closest('tr').querySelectorAll('.score .side')[%d].textContent`, "#/contest/"+contest, side-1)
}

func play(contest, competitor string, delta int) string {
	return fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":%q,"delta":%d}}`, contest, competitor, delta)
}

func defineMatch(contest string) []string {
	return []string{
		fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM","event":"Mixed teams","phase":"Semi-final","venue":"Frozen ford","start_time":"2026-02-09T10:00:00Z","competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","order":1},{"code":"ROM","name":"Rome","organisation":"ROM","order":2}]}}`, contest),
		fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}`, contest),
	}
}

func text(s string) string { return strings.Join(strings.Fields(s), " ") }
