//go:build !linux

package hugepage

// advise does nothing: other systems have no such request.
func advise([]byte) {}
