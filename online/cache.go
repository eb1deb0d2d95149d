package online

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/fastcache"
)

// cache keeps rows that lookups have read, so that they need not be looked for in the store again. A lookup that uses it answers what its snapshot of the
// store says:
//
//   - A write takes its keys out before it begins, and nothing is put in until it has ended.
//   - What a lookup has read it puts in only if no write has ended since before its snapshot was taken.
//   - A row carries the generation of the lookup that put it in, which is the number of writes that had ended; older lookups pass it over.
//   - A write that has ended puts the new rows of the keys that it has taken out in their stead, with the generation that begins with it.
//
// A row that a lookup finds, therefore, is in the snapshots of that generation and of later ones, and no write of its key has begun since. Two writes of one
// key are never under way at once.
//
// A nil cache holds nothing.
type cache struct {
	rows *fastcache.Cache

	ended atomic.Uint64 // writes that have ended: the generation
	mu    sync.RWMutex  // held by those that put rows in, against a write that begins
	begun uint64        // writes that have begun
}

// generationBytes is the size of the generation before a row.
const generationBytes = 8

// newCache returns a cache of about size bytes, which lie outside of Go's heap; nil for 0.
func newCache(size int64) *cache {
	if size <= 0 {
		return nil
	}
	return &cache{rows: fastcache.New(int(size))}
}

// generation is what a lookup notes before it takes its snapshot.
func (c *cache) generation() uint64 {
	if c == nil {
		return 0
	}
	return c.ended.Load()
}

// get appends the row of key to dst, for a lookup of that generation. It is empty where the store is known to have none.
func (c *cache) get(dst, key []byte, generation uint64) (_ []byte, row []byte, known bool) {
	from := len(dst)
	dst, known = c.rows.HasGet(dst, key)
	if !known || binary.LittleEndian.Uint64(dst[from:]) > generation {
		return dst[:from], nil, false
	}
	return dst, dst[from+generationBytes : len(dst) : len(dst)], true
}

// put keeps what a lookup of that generation has read: calls of add with keys and rows, empty ones for keys without.
func (c *cache) put(generation uint64, each func(add func(key, row []byte))) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.begun != generation {
		return // a write is under way, or has ended since
	}
	each(func(key, row []byte) { c.set(Op{Key: key, Value: row}, generation) })
}

// write makes a write of ops, which keeps what it changes out of the cache meanwhile.
func (c *cache) write(ops []Op, write func([]Op) error) error {
	if c == nil {
		return write(ops)
	}
	c.mu.Lock()
	c.begun++
	c.mu.Unlock()
	var held []Op
	for _, op := range ops {
		if c.rows.Has(op.Key) {
			held = append(held, op)
			c.rows.Del(op.Key)
		}
	}
	err := write(ops)
	generation := c.ended.Add(1)
	if err != nil {
		return err
	}
	for _, op := range held {
		c.set(op, generation)
	}
	return nil
}

// stage makes a write of ops that no lookup sees yet, and that are to come in the stead of rows whose keys begin with old: what is in the cache of those is
// to be so of these, or lookups would find none of them there all at once.
func (c *cache) stage(ops []Op, old []byte, write func([]Op) error) error {
	if err := write(ops); err != nil || c == nil {
		return err
	}
	generation, key := c.ended.Load(), slices.Clone(old)
	for _, op := range ops {
		key = append(key[:len(old)], op.Key[len(old):]...)
		if c.rows.Has(key) {
			c.set(op, generation)
		}
	}
	return nil
}

// set puts the row that op has written in.
func (c *cache) set(op Op, generation uint64) {
	entry := binary.LittleEndian.AppendUint64(make([]byte, 0, generationBytes+len(op.Value)), generation)
	if !op.Delete {
		entry = append(entry, op.Value...)
	}
	c.rows.Set(op.Key, entry)
}

// close gives the memory back, for the caches of other stores.
func (c *cache) close() {
	if c != nil {
		c.rows.Reset()
	}
}
