// Package games embeds the demo's Games: invented events of two summer days in 50 BC,
// which laurel demo and the README post.
package games

import _ "embed"

// OG50BC is the events of all contests and medals, one in a line, in the order of their
// times.
//
//go:embed og50bc.ndjson
var OG50BC []byte
