// Package backup copies the snapshots of a store to a directory or a bucket, again and
// again.
//
// [ParseURL] reads where to and how often. A [Runner] runs beside each frontend and makes
// the backups while its frontend is the master. A [Target] keeps the files: a directory or,
// by package s3, a bucket.
package backup
