package doctor

import (
	"fmt"
	"os"
	"syscall"
)

// fileSystems are the numbers of statfs (linux/magic.h) of the kinds that are of interest.
var fileSystems = map[uint32]string{
	0x6969: "nfs", 0xff534d42: "smb", 0xfe534d42: "smb", 0x517b: "smb", 0x01021997: "9p", 0x65735546: "fuse",
	0x794c7630: "overlay", 0x01021994: "tmpfs", 0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs",
	0x2fc12fc1: "zfs", 0xf2f52010: "f2fs",
}

func fileSystem(dir string) (kind string, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", err
	}
	if kind = fileSystems[uint32(s.Type)]; kind == "" {
		kind = fmt.Sprintf("of kind %#x", uint32(s.Type))
	}
	return kind, nil
}

func openFiles() (uint64, error) {
	var l syscall.Rlimit
	// The runtime has raised the soft limit of this process to the hard one, as it does
	// for a frontend.
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return l.Cur, err
}

// unsynced is STA_UNSYNC of linux/timex.h.
const unsynced = 0x40

func clockSynced() (bool, error) {
	var t syscall.Timex // with no modes it only asks
	if _, err := syscall.Adjtimex(&t); err != nil {
		return false, os.NewSyscallError("adjtimex", err)
	}
	return t.Status&unsynced == 0, nil
}

func dataSync(f *os.File) error {
	return os.NewSyscallError("fdatasync", syscall.Fdatasync(int(f.Fd())))
}
