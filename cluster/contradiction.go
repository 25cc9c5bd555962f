package cluster

import "fmt"

type ContradictionError struct {
	Dir string
	Err error
}

func (e *ContradictionError) Error() string { return fmt.Sprint(e.Dir, e.Err) }
func (e *ContradictionError) Unwrap() error { return e.Err }
