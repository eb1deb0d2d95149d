package hugepage

import "golang.org/x/sys/unix"

// advise asks for huge pages. That it is refused changes nothing but the time that things take.
func advise(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
