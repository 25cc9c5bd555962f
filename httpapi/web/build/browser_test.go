package main

import (
	"context"
	"errors"
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

// within bounds the time until a change is seen in the page, on a busy machine.
const within = 2 * time.Minute

// browser is shared by the tests.
var browser = sync.OnceValues(func() (context.Context, error) {
	ctx, end, err := startBrowser()
	endBrowser = end
	return ctx, err
})

var endBrowser = func() {}

// startBrowser starts a browser with options besides the usual ones.
func startBrowser(options ...chromedp.ExecAllocatorOption) (ctx context.Context, end func(), err error) {
	path := ""
	for _, name := range []string{os.Getenv("LAUREL_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, func() {}, fmt.Errorf("no Chromium in PATH or LAUREL_CHROMIUM; on Debian: apt-get install chromium")
	}
	options = append(append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WSURLReadTimeout(within),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"), // for pages of others
	), options...)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endContext := chromedp.NewContext(allocator)
	return ctx, func() { endContext(); endAllocator() }, chromedp.Do(ctx)
}

func TestMain(m *testing.M) {
	code := m.Run()
	endBrowser()
	os.Exit(code)
}

// needBrowser skips the test if there is no browser. With LAUREL_CI=full it fails it.
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

// tab is a tab of the browser.
type tab struct {
	t      testing.TB
	ctx    context.Context
	close  func()
	faults *faults
}

// faults are errors that the page threw and requests that it should not have made.
type faults struct {
	mu   sync.Mutex
	list []string
}

func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

// device is a kind of device and the preferences of its user.
type device struct {
	width, height int64
	dark          bool
	reducedMotion bool
	noScript      bool
}

var (
	phone   = device{width: 360, height: 780}
	desktop = device{width: 1280, height: 800}
)

// newTab opens an empty tab in a new browser context, or in that of another tab.
func newTab(t testing.TB, d device, beside *tab) *tab {
	t.Helper()
	parent := needBrowser(t)
	var options []chromedp.ContextOption
	if beside == nil {
		options = append(options, chromedp.WithNewBrowserContext())
	} else {
		parent = beside.ctx
	}
	ctx, cancel := chromedp.NewContext(parent, options...)
	b := &tab{t: t, ctx: ctx, close: sync.OnceFunc(cancel), faults: new(faults)}
	t.Cleanup(func() {
		b.close()
		b.faults.mu.Lock() // an event of before may still be handled
		defer b.faults.mu.Unlock()
		for _, f := range b.faults.list {
			t.Error(f)
		}
	})
	err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			b.faults.add("the page threw: %s", thrown(e.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.before(patient)
	b.before(announced)
	b.run(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width:             d.width,
			Height:            d.height,
			DeviceScaleFactor: 1,
			Mobile:            d.width < 600,
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: d.media()}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: d.noScript}),
	)
	return b
}

// patient has a page wait longer for answers than it does by itself: a frontend on a busy
// machine is not one that is silent.
const patient = `{
	const timeout = AbortSignal.timeout
	AbortSignal.timeout = (ms) => timeout.call(AbortSignal, 10 * ms)
}`

// announced has a page keep in window.announced all that it has announced, because the next
// announcement replaces the one before.
const announced = `window.announced = ''
	addEventListener('DOMContentLoaded', () => {
		const region = document.getElementById('said')
		if (!region) return
		const keep = () => { window.announced += region.textContent + '\n' }
		new MutationObserver(keep).observe(region, { childList: true, characterData: true, subtree: true })
	})`

// hasAnnounced is true if a page has announced a text.
func hasAnnounced(text string) string { return fmt.Sprintf(`window.announced.includes(%q)`, text) }

func thrown(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

// command returns an action that sends a command of the DevTools protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (d device) media() []*emulation.MediaFeature {
	scheme, motion := "light", "no-preference"
	if d.dark {
		scheme = "dark"
	}
	if d.reducedMotion {
		motion = "reduce"
	}
	return []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: motion},
	}
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(steps...))
}

// get runs an action and returns its value.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := try(b, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func try[T any](b *tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// hasLeft reports whether a script had no value because the tab went to another page
// meanwhile, as when the script sends a form.
func hasLeft(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Inspected target navigated or closed")
}

// isBetween reports whether a script did not run because the tab was between two pages.
func isBetween(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Cannot find default execution context")
}

func (b *tab) open(url string) *tab {
	b.t.Helper()
	b.run(chromedp.Navigate(url))
	return b
}

// before has a script run in each page before its own scripts.
func (b *tab) before(script string) {
	b.t.Helper()
	b.run(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}))
}

// eval evaluates an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// do runs a script in the page, which may lead to another page.
func (b *tab) do(script string) {
	b.t.Helper()
	_, err := try(b, chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
	if err != nil && !hasLeft(err) {
		b.t.Fatal(err)
	}
}

// until waits until an expression is true in the page.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	b.untilWithin(within, what, expression)
}

func (b *tab) untilWithin(d time.Duration, what, expression string) {
	b.t.Helper()
	if is, err := b.becomesTrue(d, expression); !is {
		b.t.Fatalf("%s: not seen within %s (%v); the page shows\n%s", what, d, err,
			eval[string](b, "document.body.innerText"))
	}
}

// becomesTrue waits until an expression is true in the page, and reports whether it is. One
// that throws is not true yet: it may ask for an element that is still to come. The error is
// what it has thrown last.
func (b *tab) becomesTrue(d time.Duration, expression string) (is bool, last error) {
	b.t.Helper()
	for deadline := time.Now().Add(d); ; time.Sleep(30 * time.Millisecond) {
		is, last = try(b, chromedp.Evaluate[bool]("Boolean("+expression+")", chromedp.EvalAwaitPromise))
		_, threw := errors.AsType[*chromedp.ExceptionError](last)
		switch {
		case last != nil && !threw && !hasLeft(last) && !isBetween(last):
			b.t.Fatal(last)
		case is || time.Now().After(deadline):
			return is, last
		}
	}
}

// isLive is true in a page whose stream is connected.
const isLive = `document.querySelector('.strip[data-phase=live]')`

func (b *tab) live() *tab {
	b.t.Helper()
	b.until("that the page is live", isLive)
	return b
}

// status returns a value of the status bar.
func (b *tab) status(of string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector('[data-of=%s]').textContent`, of))
}

func (b *tab) press(keys string) {
	b.t.Helper()
	if len(keys) > 1 || keys < " " {
		b.run(chromedp.KeyEvent(keys))
		return
	}
	// Like a keyboard: if the page prevents the default, no character is inserted.
	b.run(
		command(input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeKeyDown,
			Key:  keys,
			Text: keys,
		}),
		command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: keys}),
	)
}

// eventually waits for a condition outside the page.
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

// inList is the result of a contest's side (1 or 2) in the list.
func inList(contest string, side int) string {
	const expression = `document.querySelector('a[href=%q]')?.closest('tr').querySelectorAll('.score .side')[%d].textContent`
	return fmt.Sprintf(expression, "#/contest/"+contest, side-1)
}

func play(contest, competitor string, delta int) string {
	const event = `{"type":"score.play","contest_id":%q,"data":{"competitor":%q,"delta":%d}}`
	return fmt.Sprintf(event, contest, competitor, delta)
}

func defineMatch(contest string) []string {
	const define = `{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"stone-curling",` +
		`"title":"GAU vs ROM","event":"Mixed teams","phase":"Semi-final","venue":"Frozen ford",` +
		`"start_time":"2026-02-09T10:00:00Z","competitors":[` +
		`{"code":"GAU","name":"Gaul","organisation":"GAU","order":1},` +
		`{"code":"ROM","name":"Rome","organisation":"ROM","order":2}]}}`
	const start = `{"type":"contest.status","contest_id":%q,` +
		`"data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}`
	return []string{fmt.Sprintf(define, contest), fmt.Sprintf(start, contest)}
}

// joinFields replaces each run of white space by one space.
func joinFields(s string) string { return strings.Join(strings.Fields(s), " ") }
