package feature

import (
	"errors"
	"fmt"
)

// The kinds of errors. Every error that leaves a package wraps one of them or counts as ErrInternal; one table
// in cmd/asof and one in server map them to exit codes and gRPC codes.
var (
	ErrInvalid     = errors.New("invalid")     // the caller's input is wrong; the same call will fail again
	ErrNotFound    = errors.New("not found")   // the named object does not exist
	ErrConflict    = errors.New("conflict")    // somebody else was first; look again and repeat
	ErrCorrupt     = errors.New("corrupt")     // stored bytes are not what they should be
	ErrUnavailable = errors.New("unavailable") // a resource is out of reach or taken; may pass
	ErrInternal    = errors.New("internal")    // a fault of asof itself
)

// kinded is an error with a kind that does not show in its message.
type kinded struct {
	kind error
	err  error
}

func (e *kinded) Error() string   { return e.err.Error() }
func (e *kinded) Unwrap() []error { return []error{e.kind, e.err} }

// Errorf returns an error of the given kind; the message is formatted as fmt.Errorf does, %w included.
func Errorf(kind error, format string, args ...any) error {
	return &kinded{kind: kind, err: fmt.Errorf(format, args...)}
}

// KindOf returns the kind that err wraps, ErrInternal where it wraps none, and nil for nil. Where several are
// wrapped the outermost wins.
func KindOf(err error) error {
	if err == nil {
		return nil
	}
	var k *kinded
	if errors.As(err, &k) {
		return k.kind
	}
	return ErrInternal
}
