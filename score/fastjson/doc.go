// Package fastjson reads and writes plain JSON in a quarter of the time that a general
// JSON package takes.
//
// A [Reader] knows objects, arrays, strings without escapes, and plain numbers. It fails on
// anything else, valid or not, and the caller then uses the general decoder, which decides. A
// [Writer] fails on what a general encoder might refuse.
package fastjson
