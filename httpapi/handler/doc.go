// Package handler defines what a handler of Laurel's HTTP interface gets and returns. A
// Func takes a Request and returns a Response; it does not know whether the request came
// through net/http or through package fastpath. Two encoders write the Response: WriteTo
// for net/http and AppendTo for the fast path. The few handlers whose answers are streams
// write to Request.Transport themselves and return Written.
//
// The package also has what handlers share: reading bodies (Bodies) and parameters
// (Parameters), and writing text for people (Table).
package handler
