package cli

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"laurel/score"
	"laurel/trust/keyfile"
)

// newSigner returns a target with a new key, and the key's id.
func newSigner(t *testing.T, urls ...string) (signer *Target, id string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bard.key")
	key, err := keyfile.New(file)
	if err != nil {
		t.Fatal(err)
	}
	return &Target{URLs: urls, keyFile: file}, score.KeyID(key.Public().(ed25519.PublicKey))
}

func (t *Target) stores(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(t.keyFile + storesSuffix)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func wantRefused(t *testing.T, err error, why string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v; want an error with %q", err, why)
	}
}

func TestAStoreIsRememberedHoweverItsURLIsWritten(t *testing.T) {
	one, id := newSigner(t, "http://venue.example")
	if err := one.trustLineage("gaul"); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{
		"venue.example", "http://venue.example/", " HTTP://Venue.Example:80// ", "http://venue.example:80",
	} {
		one.URLs = []string{again}
		if err := one.trustLineage("gaul"); err != nil {
			t.Errorf("%q: %v", again, err)
		}
		wantRefused(t, one.trustLineage("rome"), "nothing was signed")
		one.URLs = []string{"http://new.example", again}
		wantRefused(t, one.trustLineage("rome"), "nothing was signed")
	}
	if want := id + " http://venue.example gaul\n"; one.stores(t) != want {
		t.Errorf("it remembers %q; want %q", one.stores(t), want)
	}
	one.URLs = []string{"https://venue.example", "http://venue.example/a b", "http://[::1]:8001", "http://%zz \n"}
	for range 2 {
		if err := one.trustLineage("rome"); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(one.stores(t), "\n"); n != 5 {
		t.Errorf("%d lines: %q", n, one.stores(t))
	}
	wantRefused(t, one.trustLineage("gaul"), "nothing was signed")
}

func TestADamagedMemoryOfStoresIsNoFirstUse(t *testing.T) {
	one, id := newSigner(t, "http://a:1")
	file := one.keyFile + storesSuffix
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{id + " http://a:1\n", id + " http://a:1 ROME\n", id + " http://a:1 rome gaul\n", "\x00\n"} {
		write("\n"+text, 0o600)
		wantRefused(t, one.trustLineage("gaul"), "line 2 of "+file+" is damaged")
	}
	write(id+" http://a:1 gaul\n", 0o666)
	wantRefused(t, one.trustLineage("gaul"), "every user of this machine can change it")
	// The disk was full while a line was written: nothing was signed for that store.
	write("0123456789abcdef http://a:1 rome\n"+id+" http://a:1 ro", 0o600)
	for range 2 {
		if err := one.trustLineage("gaul"); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(t, one.trustLineage("rome"), "nothing was signed")
}

func TestStoresAreNotForgottenWhereTheyCannotBeRemembered(t *testing.T) {
	one, _ := newSigner(t, "http://a:1")
	file := one.keyFile + storesSuffix
	if err := os.Mkdir(file, 0o700); err != nil { // root may write to a directory without write permission
		t.Fatal(err)
	}
	wantRefused(t, one.trustLineage("gaul"), "set --lineage")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", file); err != nil {
		t.Fatal(err)
	}
	if err := one.trustLineage("gaul"); err == nil {
		t.Error("signed for a store that was not remembered")
	}
}

func TestOfManyFirstUsesAtOnceOneStoreIsTrusted(t *testing.T) {
	one, _ := newSigner(t, "http://a:1")
	for range 50 {
		var all sync.WaitGroup
		trusted := make(chan string, 8)
		for _, lineage := range []string{"a", "b", "c", "d", "a", "b", "c", "d"} {
			all.Go(func() {
				if one.trustLineage(lineage) == nil {
					trusted <- lineage
				}
			})
		}
		all.Wait()
		close(trusted)
		first := <-trusted
		if first == "" {
			t.Fatal("no store is trusted")
		}
		for next := range trusted {
			if next != first {
				t.Fatalf("the stores %s and %s are trusted at one URL", first, next)
			}
		}
		if err := os.Remove(one.keyFile + storesSuffix); err != nil {
			t.Fatal(err)
		}
	}
}
