// Package s3 puts, lists and deletes objects of a bucket with the S3 protocol of AWS, MinIO,
// Ceph and others.
//
// It has the three requests that backups need, and signs them by AWS Signature Version 4.
// [Sign] makes the signature, [Bucket] the requests.
package s3
