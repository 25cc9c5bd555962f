package access

import (
	"bytes"
	"crypto/ed25519"
	"math/big"
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// fieldPrime is p, and curveD is d of the curve -x^2 + y^2 = 1 + d x^2 y^2.
var (
	one        = big.NewInt(1)
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	curveD     = mod(new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), fieldPrime)))
)

func mod(n *big.Int) *big.Int { return n.Mod(n, fieldPrime) }

func product(factors ...*big.Int) *big.Int {
	n := big.NewInt(1)
	for _, f := range factors {
		mod(n.Mul(n, f))
	}
	return n
}

type point struct{ x, y *big.Int }

// add is the addition law of the curve, from its definition.
func (p point) add(q point) point {
	dxxyy := product(curveD, p.x, q.x, p.y, q.y)
	inverse := func(n *big.Int) *big.Int { return new(big.Int).ModInverse(mod(n), fieldPrime) }
	x := new(big.Int).Add(product(p.x, q.y), product(q.x, p.y))
	y := new(big.Int).Add(product(p.y, q.y), product(p.x, q.x))
	return point{
		product(x, inverse(new(big.Int).Add(one, dxxyy))),
		product(y, inverse(new(big.Int).Sub(one, dxxyy))),
	}
}

func (p point) isNeutral() bool { return p.x.Sign() == 0 && p.y.Cmp(one) == 0 }

// encode returns the key with a y, which may be p or more, and the sign of x.
func encode(y *big.Int, sign uint) []byte {
	b := new(big.Int).SetBit(y, 255, sign).FillBytes(make([]byte, keySize))
	slices.Reverse(b)
	return b
}

// decodePoint returns the point that a key encodes, whose y may be p or more.
func decodePoint(t *testing.T, key []byte) point {
	t.Helper()
	b := bytes.Clone(key)
	slices.Reverse(b)
	y := new(big.Int).SetBytes(b)
	sign := y.Bit(255)
	mod(y.SetBit(y, 255, 0))
	yy := product(y, y)
	above := new(big.Int).Sub(yy, one)
	below := new(big.Int).Add(product(curveD, yy), one)
	x := new(big.Int).ModSqrt(product(above, new(big.Int).ModInverse(below, fieldPrime)), fieldPrime)
	if x == nil {
		t.Fatalf("%x is not on the curve", key)
	}
	if x.Bit(0) != sign {
		mod(x.Neg(x))
	}
	return point{x, y}
}

// smallKeys returns all encodings of the eight points of small order, the non-canonical
// ones included.
func smallKeys() (keys [][]byte) {
	minusOne := new(big.Int).Sub(fieldPrime, one)
	ys := []*big.Int{big.NewInt(0), big.NewInt(1), minusOne, fieldPrime, new(big.Int).Add(fieldPrime, one)}
	for _, y := range smallOrder {
		b := slices.Clone(y[:])
		slices.Reverse(b)
		ys = append(ys, new(big.Int).SetBytes(b))
	}
	for _, y := range ys {
		keys = append(keys, encode(y, 0), encode(y, 1))
	}
	return keys
}

func TestAKeyOfSmallOrderIsNotGranted(t *testing.T) {
	points := map[string]bool{}
	for _, key := range smallKeys() {
		p := decodePoint(t, key)
		two := p.add(p)
		four := two.add(two)
		if !four.add(four).isNeutral() {
			t.Errorf("%x has no small order", key)
		}
		points[p.x.String()+" "+p.y.String()] = true
		wantWeak(t, key)
	}
	if len(points) != 8 {
		t.Errorf("%d points; the curve has 8 of small order", len(points))
	}
}

func TestAKeyWithANonCanonicalEncodingIsNotGranted(t *testing.T) {
	for n := range int64(19) { // p to 2^255 - 1
		y := new(big.Int).Add(fieldPrime, big.NewInt(n))
		wantWeak(t, encode(y, 0))
		wantWeak(t, encode(y, 1))
	}
}

func wantWeak(t *testing.T, key []byte) {
	t.Helper()
	_, _, p := NewState().Apply(&Change{At: accessDay, By: "operator", Grant: grantOf(key)}, OldestFormat)
	if p == nil || p.Field != "grant.public" || !strings.Contains(p.Detail, "small order") {
		t.Errorf("the key %x was granted: %v", key, p)
	}
}

func grantOf(public ed25519.PublicKey) *Grant {
	return &Grant{ID: score.KeyID(public), Name: "bard/a", Role: RoleBard, Public: public, Created: accessDay}
}

// The reason for the refusal: Go accepts one signature by such a key for any message.
func TestASignatureOfSmallOrderIsValidForAnyMessage(t *testing.T) {
	neutral := encode(big.NewInt(1), 0)
	signature := append(bytes.Clone(neutral), make([]byte, 32)...)
	for _, message := range []string{"one", "another"} {
		if !ed25519.Verify(neutral, []byte(message), signature) {
			t.Errorf("not valid for %q", message)
		}
	}
}

func TestAnOrdinaryKeyIsGranted(t *testing.T) {
	for range 100 {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, p := NewState().Apply(&Change{At: accessDay, By: "operator", Grant: grantOf(public)}, OldestFormat); p != nil {
			t.Errorf("%x: %v", public, p)
		}
	}
	// The neighbours of the refused ones.
	for _, y := range []*big.Int{big.NewInt(2), new(big.Int).Sub(fieldPrime, big.NewInt(2))} {
		if isWeakKey(encode(y, 0)) || isWeakKey(encode(y, 1)) {
			t.Errorf("%s is refused", y)
		}
	}
}
