//go:build !spy

package main

const hasSpies = false // in this program
