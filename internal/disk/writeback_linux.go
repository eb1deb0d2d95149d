package disk

import "golang.org/x/sys/unix"

// startWriteback asks the system to begin writing a stretch of a file to its disk, without waiting for it.
func startWriteback(fd uintptr, from, length int64) {
	_ = unix.SyncFileRange(int(fd), from, length, unix.SYNC_FILE_RANGE_WRITE) // an aid: what it has not done, the sync does
}
