package online

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// Column is the answer for one feature: one entry in each slice for each key asked for.
type Column struct {
	Name string
	Type feature.Type
	// Ref is the index of the service's ref that the feature belongs to; -1 for an on-demand feature, and 0 in the answer of Get.
	Ref      int
	Statuses []feature.Status
	// Found tells which keys have a row, expired or not, and EventTimes when it happened. Columns of one ref share them. What is
	// computed on demand comes from no row: nothing is found.
	Found      []bool
	EventTimes []feature.Time

	values    arrow.Array // nil where there are bits and nobody has asked for an array
	bits      []byte      // the values of a type of 4 or 8 bytes, as arrays have them; nil of other types
	defaulted bool        // what is not PRESENT has the default in bits, and is not NULL
}

// NewColumn returns a column of values without what a lookup tells of them.
func NewColumn(name string, values arrow.Array) *Column { return &Column{Name: name, values: values} }

// Values returns the values: the default, or NULL, where the status is not PRESENT. It is not for several goroutines at once.
func (c *Column) Values() arrow.Array {
	if c.values != nil {
		return c.values
	}
	var valid *memory.Buffer
	missing, n := 0, len(c.Statuses)
	if !c.defaulted {
		var bitmap []byte
		bitmap, missing = feature.PresentBits(c.Statuses)
		valid = memory.NewBufferBytes(bitmap)
	}
	c.values = array.MakeFromData(array.NewData(c.Type.Arrow(), n, []*memory.Buffer{valid, memory.NewBufferBytes(c.bits)}, nil, missing, 0))
	return c.values
}

// Bits returns the values of a column of a type of 4 or 8 bytes as they lie in the memory of an Arrow array, which takes more time to make; ok is false for columns
// of other types and of no lookup. A row is NULL where the status is not PRESENT and defaulted is false.
func (c *Column) Bits() (bits []byte, defaulted, ok bool) { return c.bits, c.defaulted, c.bits != nil }

// Replace puts other values in place of those of c.
func (c *Column) Replace(values arrow.Array, statuses []feature.Status) {
	c.values, c.bits, c.Statuses = values, nil, statuses
}

// answer projects the chosen features out of the values that were read.
func (q *question) answer(features []int, now feature.Time) ([]*Column, error) {
	n := len(q.keys)
	found, events, whole := make([]bool, n), make([]feature.Time, n), make([]feature.Status, n)
	for i, v := range q.values {
		if v == nil {
			whole[i] = feature.NotFound
			continue
		}
		found[i], events[i], whole[i] = true, timeAt(v, eventAt), feature.Present
		if q.view.Expired(events[i], now) {
			whole[i] = feature.Expired
		}
	}
	words := 0 // of all columns that have bits
	for _, f := range features {
		words += bitsWords(q.view.Features[f].Type, n)
	}
	all, columns := make([]Column, len(features)), make([]*Column, len(features))
	statuses, room := make([]feature.Status, n*len(features)), make([]uint64, words)
	for c, f := range features {
		ft, at := &q.view.Features[f], -1
		if q.layout != nil {
			if at = q.layout.index(f, ft.Field); at < 0 {
				return nil, feature.Errorf(feature.ErrUnavailable, "view %s: its published values have no feature %s (%s): run asof materialize %s",
					q.view.Name, ft.Name, ft.Type, q.view.Name)
			}
		}
		own := bitsWords(ft.Type, n)
		columns[c] = &all[c]
		*columns[c] = Column{Name: ft.Name, Type: ft.Type, Statuses: statuses[c*n : (c+1)*n : (c+1)*n], Found: found, EventTimes: events}
		copy(columns[c].Statuses, whole)
		if err := q.fill(columns[c], ft, at, room[:own:own]); err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "default of feature %s of view %s: %w", ft.Name, q.view.Name, err)
		}
		room = room[own:]
	}
	return columns, nil
}

// bitsWords is how many words of 8 bytes the bits of n values of t take, 0 if they are no bits.
func bitsWords(t feature.Type, n int) int {
	if width := fixedWidth(t); width > 1 {
		return (n*width + 7) / 8
	}
	return 0
}

// fill puts the values of a feature, which is field at of the layout, into c, whose statuses are those of the rows, and get those of the values. Its bits go into room.
func (q *question) fill(c *Column, f *feature.Feature, at int, room []uint64) error {
	switch n := len(c.Statuses); fixedWidth(f.Type) {
	case 4:
		return fillBits(q, c, f, at, arrow.GetData[uint32](arrow.GetBytes(room))[:n], binary.LittleEndian.Uint32)
	case 8:
		return fillBits(q, c, f, at, room, binary.LittleEndian.Uint64)
	}
	return q.fillArray(c, f, at)
}

// fillBits is fill for values of 4 or 8 bytes, whose bits it takes as they are stored: a builder costs several times as much.
func fillBits[T uint32 | uint64](q *question, c *Column, f *feature.Feature, at int, bits []T, bitsOf func([]byte) T) error {
	missing, slot := 0, 0
	if at >= 0 {
		slot = q.layout.slots[at].at
	}
	for i, status := range c.Statuses {
		if status == feature.Present && !q.layout.isNull(q.values[i], at) {
			bits[i] = bitsOf(q.values[i][slot:])
			continue
		}
		if status == feature.Present {
			c.Statuses[i] = feature.Null
		}
		missing++
	}
	c.bits, c.defaulted = arrow.GetBytes(bits), missing == 0 || f.Default != nil
	if missing == 0 || f.Default == nil {
		return nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
	if err := feature.AppendValue(b, f.Default); err != nil {
		return err
	}
	byDefault := arrow.GetData[T](b.NewArray().Data().Buffers()[1].Bytes())[0]
	for i, status := range c.Statuses {
		if status != feature.Present {
			bits[i] = byDefault
		}
	}
	return nil
}

// fillArray is fill for all other values.
func (q *question) fillArray(c *Column, f *feature.Feature, at int) error {
	b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
	b.Reserve(len(c.Statuses))
	add := appender(b)
	for i, status := range c.Statuses {
		switch {
		case status == feature.Present && !q.layout.isNull(q.values[i], at):
			add(q.layout.bytes(q.values[i], at))
			continue
		case status == feature.Present:
			c.Statuses[i] = feature.Null
		}
		if err := feature.AppendValue(b, f.Default); err != nil {
			return err
		}
	}
	c.values = b.NewArray()
	return nil
}
