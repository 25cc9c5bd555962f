# `just` lists the recipes. Each is plain commands, so that they can be copied.

staticcheck := "honnef.co/go/tools/cmd/staticcheck@v0.8.2"

_default:
    @just --list

# three frontends, a bard and the stone-age Games; Ctrl-C ends it
demo:
    go run ./cmd/laurel demo

# everything, as in the README
test:
    go test ./...

# the packages that run within the test's own process, under the race detector
race:
    go test -race -short ./...

# the real processes, in the full form that CI runs
e2e-full:
    LAUREL_CI=full go test -count=1 -timeout 30m ./cmd/laurel/e2e

# the real processes, built with the race detector
race-e2e:
    go test -race -timeout 30m ./cmd/laurel/e2e

# each fuzz target for a while: just fuzz 5m
fuzz time="1m":
    .ci/fuzz {{time}}

# frontends and bards killed for minutes while all Games are sung
long:
    LAUREL_LONG=1 go test -count=1 -timeout 30m -v -run Killed ./cmd/laurel/e2e

# a secure group attacked in every way, with all connections
attacks:
    LAUREL_LONG=1 go test -count=1 -timeout 30m -v -run AttackedGroup ./cmd/laurel/e2e

# histories of real processes under every fault, checked for linearizability: 20 runs of a minute
histories runs="20" seed="1":
    LAUREL_LONG=1 LAUREL_RUNS={{runs}} LAUREL_SEED={{seed}} go test -count=1 -timeout 60m -v -run EveryHistory ./cmd/laurel/e2e

# the push protocol in virtual time: its logic alone, and over hashicorp/raft
worlds:
    LAUREL_LONG=1 go test -count=1 -timeout 30m ./cache
    LAUREL_LONG=1 go test -count=1 -timeout 60m -run NoReadIsStale ./cluster

# the disks of three members after 1,000 losses of power (needs strace)
power:
    LAUREL_CI=full go test -count=1 -timeout 20m -v -run '^TestPowerLoss$' ./cluster

# the models of the push protocol and of certificates, exhaustively (needs spin and gcc)
model:
    LAUREL_CI=full go test -count=1 -v -timeout 20m ./cache/model ./witness/model

# durable events a second and their latency, beside etcd
bench *args:
    go -C cmd/bench run . {{args}}

# form, vet and staticcheck, also of the benchmark's module
lint:
    test -z "$(gofmt -l .)"
    go vet ./...
    go run {{staticcheck}} ./...
    go -C cmd/bench vet ./...
    go mod tidy -diff
