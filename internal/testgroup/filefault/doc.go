// Package filefault lets a test make the disk under an open file fail. It works on Linux.
package filefault
