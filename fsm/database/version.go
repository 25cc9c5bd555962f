package database

import (
	"fmt"

	"laurel/trust/access"
)

// A database and its snapshots have a version, which is in the marker of the one and at the
// beginning of the other: formatVersion in the first format of a group, one more if the group
// is sworn, and two more for each later format. It changes with the buckets, their keys and
// their values, so that no version of Laurel reads records that it does not know. That of a
// sworn group keeps versions that know nothing of such groups from reading its state as that
// of another one, in which nothing must be signed.
const formatVersion = 3

// Version returns the version of the state of a group in a format.
func Version(format uint64, sworn bool) byte {
	version := formatVersion + 2*byte(format-access.OldestFormat)
	if sworn {
		version++
	}
	return version
}

// VersionOf returns the version of the state that r sees.
func VersionOf(r Reader) (version byte, err error) {
	meta := r.Bucket(Meta)
	format := uint64(access.OldestFormat)
	raised, err := GetJSON(meta, FormatKey, &format)
	if err == nil && raised && (format <= access.OldestFormat || format > access.NewestFormat) {
		err = ErrDamaged
	}
	if err != nil {
		return 0, fmt.Errorf("read the format of the state: %w", err)
	}
	return Version(format, meta.Get(SwornKey) != nil), nil
}

// swornVersion reports whether a version is that of a sworn group.
func swornVersion(version byte) bool { return (version-formatVersion)%2 == 1 }

// checkVersion returns an error if what has the version, which is formatVersion or later,
// cannot be read.
func checkVersion(what string, version byte) error {
	if format := access.OldestFormat + uint64(version-formatVersion)/2; format > access.NewestFormat {
		return &access.FormatError{What: what, Format: format}
	}
	return nil
}
