package online

import "context"

// KV is an ordered key-value store of bytes. Keys order by bytes.Compare. Its errors are of the kinds of package feature. All
// methods may be called from several goroutines at once; Close comes last, and once.
type KV interface {
	// View calls read with one consistent snapshot of the store and returns its error. The snapshot ends with the call.
	View(read func(Reader) error) error
	// Write applies ops, no two of which have the same key. When it returns nil all of them are durable. When it
	// fails, and after a crash, any part of them may be, but each op as a whole or not at all.
	// It keeps none of ops' memory.
	Write(ops []Op) error
	// Load begins to write rows under prefix, of which there are none, in bulk. Nobody else writes under it until the load has ended.
	Load(prefix []byte) Loader
	// Loaded is how many rows under prefix lie where a load has put them in bulk; 0 where none do.
	Loaded(prefix []byte) int64
	// DropPrefix removes every key that starts with prefix, durably. Like Write it may be done in part
	// when it fails. Readers and writers of other keys go on meanwhile. It calls rest after each piece of the work.
	DropPrefix(prefix []byte, rest func()) error
	// Check reads all that is stored, goes by the checksums that the store has of its own, and reports each place that is damaged. It may
	// run beside readers and writers.
	Check(ctx context.Context, report func(Finding)) error
	// Close frees the store for another process.
	Close() error
}

// Loader writes the rows of a prefix, out of sight until Commit. It belongs to one goroutine and ends with Commit or Abort.
type Loader interface {
	// Add takes the next rows: none is a deletion, and their keys ascend from call to call. It keeps none of ops' memory. After an error only
	// Abort may be called.
	Add(ops []Op) error
	// Commit makes what was added durable and has it seen. When it fails, any part of it may be there, as after [KV].Write.
	Commit() error
	// Abort gives up what was added. After Commit it does nothing, even if that has failed.
	Abort() error
}

// Reader reads one snapshot of a [KV]. Several goroutines may call its methods at once.
type Reader interface {
	// Get appends the value of key to dst and returns the result; found is false, and dst unchanged, when there is none.
	Get(dst, key []byte) (_ []byte, found bool, err error)
	// Iterate calls yield, in order, with each key that starts with prefix and is at or after start (nil: from the first).
	// The slices are only valid during the call. It stops when yield returns false.
	Iterate(prefix, start []byte, yield func(key, value []byte) (more bool, err error)) error
}

// Op sets Key to Value, or deletes Key.
type Op struct {
	Key    []byte
	Value  []byte
	Delete bool
}
