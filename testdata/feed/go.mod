module example.com/feed

go 1.26.0

require laurel v0.0.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace laurel => ../..
