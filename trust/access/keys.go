package access

import (
	"bytes"
	"slices"
)

// An Ed25519 public key is the encoding of a point of a curve: 255 bits of y, the lowest
// byte first, and the sign of x. Eight points have such a small order that one signature
// by them is valid for many messages, or for all. Their owner could later say that it
// signed something else.

// smallOrder holds y of the points of small order, except -1, 0 and 1.
var smallOrder = [...][keySize]byte{
	{ // order 8
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{ // order 8
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
}

// isWeakKey reports whether an Ed25519 public key is a point of small order, or encodes y
// as a number that is not below p = 2^255 - 19.
func isWeakKey(public []byte) bool {
	y := bytes.Clone(public)
	top := len(y) - 1
	y[top] &= 0x7f
	isZero := func(b byte) bool { return b == 0 }
	isOnes := func(b byte) bool { return b == 0xff }
	all := func(b []byte, is func(byte) bool) bool {
		return !slices.ContainsFunc(b, func(b byte) bool { return !is(b) })
	}
	switch {
	case y[0] <= 1 && all(y[1:], isZero): // 1 has order 1, and 0 has order 4
		return true
	case y[0] >= 0xec && all(y[1:top], isOnes) && y[top] == 0x7f: // -1 has order 2; p and more
		return true
	}
	return slices.Contains(smallOrder[:], [keySize]byte(y))
}
