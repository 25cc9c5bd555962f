package signing_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/trust/signing"
)

// FuzzVerify alters one byte of a signed event and checks that the event is refused, by a
// verifier that has cached the tree and by a new one.
func FuzzVerify(f *testing.F) {
	for _, n := range []int{1, 2, 3, 200} {
		f.Add(n, n-1, 5, byte(1), true)
		f.Add(n, 0, 70, byte(0x80), false)
	}
	private := keyOf("fuzz")
	public := publicOf(private)
	f.Fuzz(func(t *testing.T, size, index, at int, bits byte, ofSignature bool) {
		size = 1 + abs(size)%eventsig.MaxTree
		index = abs(index) % size
		events := signed(t, private, size)
		caching := new(signing.Verifier)
		for i := range events {
			if !caching.Verify(public, lineage, formOf(t, &events[i]), events[i].Signature) {
				t.Fatalf("event %d of %d is refused", i, size)
			}
		}
		form, signature := formOf(t, &events[index]), slices.Clone(events[index].Signature)
		altered := form
		if ofSignature {
			altered = signature
		}
		altered[abs(at)%len(altered)] ^= bits
		for _, v := range []*signing.Verifier{new(signing.Verifier), caching} {
			if v.Verify(public, lineage, form, signature) != (bits == 0) {
				t.Fatalf("event %d of %d, altered by %x at %d: wrong result", index, size, bits, at)
			}
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

// FuzzSignature checks that no other bytes are accepted as a signature.
func FuzzSignature(f *testing.F) {
	private := keyOf("fuzz")
	events := signed(f, private, 9)
	for i := range events {
		f.Add(events[i].Signature)
	}
	v := new(signing.Verifier)
	f.Fuzz(func(t *testing.T, signature []byte) {
		good := slices.ContainsFunc(events, func(e score.Event) bool { return bytes.Equal(e.Signature, signature) })
		right := 0
		for i := range events {
			if v.Verify(publicOf(private), lineage, formOf(t, &events[i]), signature) {
				right++
			}
		}
		if right > 1 || (right == 1) != good {
			t.Fatalf("%x is good for %d events", signature, right)
		}
	})
}

// FuzzForm compares the form of every accepted event with that of a library for RFC 8785.
func FuzzForm(f *testing.F) {
	for _, line := range games(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		events, p := score.DecodeArray(b)
		if p != nil {
			return
		}
		for i := range events {
			e := &events[i]
			e.Key = "0123456789abcdef"
			form, err := signing.Form(e)
			if err != nil {
				continue
			}
			if want := canonicalOf(t, e); !bytes.Equal(form, want) {
				t.Fatalf("%s:\ngot  %s\nwant %s", b, form, want)
			}
		}
	})
}

func FuzzFormOf(f *testing.F) {
	for _, line := range games(f) {
		f.Add(line)
	}
	e := someEvents(f, 1)[0]
	e.Key = "k"
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = signing.FormOf(&e, data) // must not panic
	})
}

func BenchmarkFormOf(b *testing.B) {
	e := signed(b, keyOf("a"), 1)[0]
	data, err := score.MarshalData(e.Data)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err = signing.FormOf(&e, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendForm(b *testing.B) {
	e := signed(b, keyOf("a"), 1)[0]
	var buf []byte
	var err error
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = signing.AppendForm(buf[:0], &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			events, private := someEvents(b, n), keyOf("a")
			b.ReportAllocs()
			for b.Loop() {
				if err := signing.Sign(private, lineage, events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(b.N), "ns/event")
		})
	}
}

// BenchmarkVerify measures what each frontend does for an event: making the form and
// verifying it.
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			public := publicOf(keyOf("a"))
			events := signed(b, keyOf("a"), n)
			var form []byte
			b.ReportAllocs()
			for b.Loop() {
				v := new(signing.Verifier)
				for i := range events {
					form, _ = signing.AppendForm(form[:0], &events[i])
					if !v.Verify(public, lineage, form, events[i].Signature) {
						b.Fatal("refused")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(b.N), "ns/event")
		})
	}
}
