package online

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"

	"github.com/asof-store/asof/feature"
)

// The fixed head of a stored value. docs/format/online.md is the description, byte by byte.
const (
	valueVersion = 1

	checksumAt = 1
	schemaAt   = 5
	flagsAt    = 9
	eventAt    = 10
	createdAt  = 18
	asOfAt     = 26
	nullsAt    = 34

	flagCreated = 1 // the value has a created time
)

// layout says where the fields of a schema lie in a stored value.
type layout struct {
	schema   uint32
	fields   []feature.Field
	slots    []slot
	fixedAt  int // where the fixed-width part begins
	variable int // where the variable-width part begins, the least length of a value
}

// slot is the place of a field in the fixed-width part. A field of variable width keeps the end of its bytes there.
type slot struct {
	at, width int
	variable  bool
	plain     bool // any bytes are a value
	before    int  // where the end of the previous variable-width field is kept, 0 for the first
}

// newLayout lays out fields in their order.
func newLayout(schema uint32, fields []feature.Field) *layout {
	l := &layout{schema: schema, fields: fields, slots: make([]slot, len(fields))}
	l.fixedAt = nullsAt + (len(fields)+7)/8
	at, before := l.fixedAt, 0
	for i, f := range fields {
		width := fixedWidth(f.Type)
		s := slot{at: at, width: width, plain: width > 1}
		if width == 0 {
			s = slot{at: at, width: 4, variable: true, before: before}
			before = at
		}
		l.slots[i] = s
		at += s.width
	}
	l.variable = at
	return l
}

// fixedWidth returns the bytes that a value of t takes, 0 where that depends on the value.
func fixedWidth(t feature.Type) int {
	if t.List {
		return 0
	}
	switch t.Kind {
	case feature.Bool:
		return 1
	case feature.Int32, feature.Float32:
		return 4
	case feature.Int64, feature.Float64, feature.Timestamp:
		return 8
	}
	return 0
}

// has reports whether l has exactly the fields of view's features.
func (l *layout) has(view *feature.View) bool {
	return slices.EqualFunc(l.fields, view.Features, func(f feature.Field, g feature.Feature) bool { return f == g.Field })
}

// index returns the place of field f, which is likely to be guess; -1 where l has none of that name and type.
func (l *layout) index(guess int, f feature.Field) int {
	if guess < len(l.fields) && l.fields[guess] == f {
		return guess
	}
	return slices.Index(l.fields, f)
}

// stamp is the part of a value that decides which of two is the newer.
type stamp struct{ event, created, asOf feature.Time }

// older reports whether a value stamped s is older than one stamped t: by event time, then by created time, none being the
// oldest, then by the as-of time of the publication.
func (s stamp) older(t stamp) bool {
	if s.event != t.event {
		return s.event < t.event
	}
	if s.created != t.created {
		return s.created < t.created
	}
	return s.asOf < t.asOf
}

// stampOf reads the stamp of a checked value.
func stampOf(v []byte) stamp {
	s := stamp{event: timeAt(v, eventAt), created: feature.MinTime, asOf: timeAt(v, asOfAt)}
	if v[flagsAt]&flagCreated != 0 {
		s.created = timeAt(v, createdAt)
	}
	return s
}

// sameAnswer reports whether checked values differ in nothing but the time as of which they are the answer.
func sameAnswer(v, w []byte) bool {
	return bytes.Equal(v[schemaAt:asOfAt], w[schemaAt:asOfAt]) && bytes.Equal(v[nullsAt:], w[nullsAt:])
}

func timeAt(v []byte, at int) feature.Time {
	return feature.Time(binary.LittleEndian.Uint64(v[at:]))
}

// isNull reports whether field i of a checked value is NULL.
func (l *layout) isNull(v []byte, i int) bool { return v[nullsAt+i/8]>>(i%8)&1 != 0 }

// bytes returns the bytes of field i of a checked value, a part of v: the slot, or what the slot points to.
func (l *layout) bytes(v []byte, i int) []byte {
	s := l.slots[i]
	if !s.variable {
		return v[s.at : s.at+s.width]
	}
	from, to := l.bounds(v, s)
	return v[from:to]
}

// bounds returns where the bytes of a variable-width field begin and end in v.
func (l *layout) bounds(v []byte, s slot) (from, to int) {
	from = l.variable
	if s.before > 0 {
		from += int(binary.LittleEndian.Uint32(v[s.before:]))
	}
	return from, l.variable + int(binary.LittleEndian.Uint32(v[s.at:]))
}

// checksum covers the store's key and everything after the checksum itself, so that a value is known to belong where it was found.
func checksum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, key), table, value[schemaAt:])
}

// validate checks that value is what encode makes for key: no later access to it can go astray. It fails with ErrCorrupt.
func (l *layout) validate(key, value []byte) error {
	if fault := l.fault(key, value); fault != "" {
		return feature.Errorf(feature.ErrCorrupt, "online value of key %x cannot be read: %s: %s", key, fault, adviceFull)
	}
	return nil
}

// fault returns what is wrong with the value of key, "" for nothing.
func (l *layout) fault(key, value []byte) string {
	switch {
	case len(value) < nullsAt:
		return fmt.Sprintf("it has only %d bytes", len(value))
	case value[0] != valueVersion:
		return fmt.Sprintf("its format version is %d, this asof reads %d", value[0], valueVersion)
	case binary.LittleEndian.Uint32(value[checksumAt:]) != checksum(key, value):
		return "its checksum does not match"
	}
	return l.malformed(value)
}

// malformed returns what is wrong with a value of this version beside its checksum, "" for nothing.
func (l *layout) malformed(value []byte) string {
	switch {
	case binary.LittleEndian.Uint32(value[schemaAt:]) != l.schema:
		return fmt.Sprintf("its schema is %d, that of the view is %d", binary.LittleEndian.Uint32(value[schemaAt:]), l.schema)
	case value[flagsAt]&^flagCreated != 0:
		return fmt.Sprintf("it has unknown flags %#x", value[flagsAt])
	case value[flagsAt]&flagCreated == 0 && timeAt(value, createdAt) != 0:
		return "it has a created time and says that it has none"
	case len(value) < l.variable:
		return fmt.Sprintf("it has %d bytes, its schema needs %d", len(value), l.variable)
	}
	if n := len(l.fields) % 8; n != 0 && value[l.fixedAt-1]>>n != 0 {
		return fmt.Sprintf("its null bitmap %08b is longer than its %d fields", bits.Reverse8(value[l.fixedAt-1]), len(l.fields))
	}
	end := l.variable
	for i := range l.slots {
		s := &l.slots[i]
		if s.plain && !l.isNull(value, i) {
			continue
		}
		if s.variable {
			from, to := l.bounds(value, *s)
			if to < from || to > len(value) {
				return fmt.Sprintf("field %s lies outside of it", l.fields[i].Name)
			}
			end = to
		}
		if fault := l.checkField(value, i); fault != "" {
			return fmt.Sprintf("field %s (%s) %s", l.fields[i].Name, l.fields[i].Type, fault)
		}
	}
	if end != len(value) {
		return fmt.Sprintf("%d bytes follow its last field", len(value)-end)
	}
	return ""
}

// checkField returns what is wrong with the bytes of field i, "" for nothing.
func (l *layout) checkField(value []byte, i int) string {
	b := l.bytes(value, i)
	if l.isNull(value, i) {
		for _, c := range b {
			if c != 0 || l.slots[i].variable {
				return "is NULL and has a value"
			}
		}
		return ""
	}
	t := l.fields[i].Type
	switch {
	case t.List:
		return checkList(b, t.Kind)
	case t.Kind == feature.Bool && b[0] > 1:
		return "is neither true nor false"
	}
	return ""
}
