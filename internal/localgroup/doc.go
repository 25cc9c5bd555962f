// Package localgroup starts groups of frontends as processes on this machine. The demo,
// laurel up, the end-to-end tests and the benchmarks use it.
//
// [Start] starts a whole group and waits until it is ready. The frontends of a group are
// either children, which are restarted when they die and end with the group, or detached:
// they outlive this process, and another Start in the same directory finds them and
// starts only what is missing. [StartProcess] starts and observes one process, of any
// program. Begin reading at group.go.
package localgroup
