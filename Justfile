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

# snapshots that are killed while they are saved, 100 times
saves:
    LAUREL_LONG=1 go test -count=1 -timeout 30m -v -run ASaveIsKilled ./cmd/laurel/e2e

# a group of the version before formats that is updated while clients post and read: 3 runs of minutes
upgrades runs="3" seed="1":
    LAUREL_LONG=1 LAUREL_RUNS={{runs}} LAUREL_SEED={{seed}} go test -count=1 -timeout 60m -v -run AGroupIsUpdated ./cmd/laurel/e2e

# a secure group attacked in every way, with all connections
attacks:
    LAUREL_LONG=1 go test -count=1 -timeout 30m -v -run AttackedGroup ./cmd/laurel/e2e

# histories of real processes under every fault, checked for linearizability: 20 runs of a minute
histories runs="20" seed="1":
    LAUREL_LONG=1 LAUREL_RUNS={{runs}} LAUREL_SEED={{seed}} go test -count=1 -timeout 60m -v -run 'EveryHistory(Is|With)' ./cmd/laurel/e2e

# random bits flipped in the memory of one frontend of four, 200 times
flips runs="200" seed="1":
    LAUREL_LONG=1 LAUREL_RUNS={{runs}} LAUREL_SEED={{seed}} go test -count=1 -timeout 60m -v -run FlippedBits ./cmd/laurel/e2e

# histories of a sworn group: with a frontend that lies to readers, and with faults of frontends that do not
sworn-histories runs="10" seed="1":
    LAUREL_LONG=1 LAUREL_RUNS={{runs}} LAUREL_SEED={{seed}} go test -count=1 -timeout 60m -v \
        -run 'HistoryOfDirectReads|HistoryOfCertifiedReads|NoFaultHas' ./cmd/laurel/e2e

# the push protocol in virtual time: its logic alone, and over hashicorp/raft; certificates with one corrupt frontend
worlds:
    LAUREL_LONG=1 go test -count=1 -timeout 30m ./cache
    LAUREL_LONG=1 go test -count=1 -timeout 60m -run NoReadIsStale ./cluster
    LAUREL_WORLDS=10000 go test -count=1 -timeout 0 -run NoWorld ./witness

# 1,000 groups in virtual time whose members die, return, and are cut off, and whose dead the autopilot removes
autopilot:
    LAUREL_LONG=1 go test -count=1 -timeout 30m -v -run InNoWorld ./cluster/autopilot

# the disks of three members after 1,000 losses of power (needs strace)
power:
    LAUREL_LONG=1 LAUREL_CI=full go test -count=1 -timeout 20m -v -run '^TestPowerLoss$' ./cluster

# the models of the push protocol and of certificates, exhaustively (needs spin and gcc); .ci/run searches them whole if they
# are not the ones whose digests this writes down
model:
    LAUREL_LONG=1 LAUREL_CI=full go test -count=1 -v -timeout 20m ./cache/model ./witness/model
    cd cache/model && sha256sum push.pml model_test.go ../../internal/spin/spin.go > searched.sha256
    cd witness/model && sha256sum certificates.pml model_test.go ../../internal/spin/spin.go > searched.sha256

# the types of the page (builds the TypeScript compiler); .ci/run checks them if the sources are not the ones whose digests this
# writes down
types:
    go -C httpapi/web/build tool tsgo -p ../app
    cd httpapi/web/build && sha256sum go.mod ../npm/SHA256SUMS ../app/tsconfig.json ../app/*.ts ../app/*.tsx > types.sha256

# durable events a second and their latency, beside etcd
bench *args:
    go -C cmd/bench run . {{args}}

# archives, Debian packages, an image, checksums and a list of modules, in a directory
packages out:
    go -C deploy run . --out {{absolute_path(out)}}

# all packages twice: equal commits give equal bytes
packages-twice:
    LAUREL_LONG=1 go -C deploy test -count=1 -timeout 30m -run EqualBytes .

# form, vet and staticcheck, also of the benchmark's module
lint:
    test -z "$(gofmt -l .)"
    go vet ./...
    go run {{staticcheck}} ./...
    go -C cmd/bench vet ./...
    go -C deploy vet ./...
    go mod tidy -diff
