package parquetio

import (
	"encoding/binary"
	"errors"
)

var (
	errShort     = errors.New("it ends too early")
	errMalformed = errors.New("malformed Thrift")
	errMissing   = errors.New("a field is missing that has to be there")
)

// Types of Thrift's compact protocol; a bool of a struct is its type.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftInt32  = 5
	thriftStruct = 12
)

// thriftDepthMax is far above the depth of Parquet's own structs (9).
const thriftDepthMax = 32

// thriftLength returns the length of the compact Thrift struct at the head of b, errShort when b ends within it. It
// exists because the decoder allocates lists by the length that the bytes claim: five bytes can claim two
// billion column chunks. Here every element is walked before anything is allocated.
func thriftLength(b []byte) (int, error) {
	w := thriftWalk{b: b}
	err := w.structure(0)
	return w.pos, err
}

type thriftWalk struct {
	b   []byte
	pos int
}

func (w *thriftWalk) byte() (byte, error) {
	if w.pos >= len(w.b) {
		return 0, errShort
	}
	w.pos++
	return w.b[w.pos-1], nil
}

func (w *thriftWalk) varint() (uint64, error) {
	u, n := binary.Uvarint(w.b[w.pos:])
	switch {
	case n == 0:
		return 0, errShort
	case n < 0:
		return 0, errMalformed
	}
	w.pos += n
	return u, nil
}

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.b)-w.pos) {
		return errShort
	}
	w.pos += int(n)
	return nil
}

func (w *thriftWalk) structure(depth int) error {
	if depth > thriftDepthMax {
		return errMalformed
	}
	return w.fields(func(_ int16, t byte) error { return w.field(t, depth+1) })
}

// fields calls do with the number and the type of each field of a struct, of which it reads or passes over the value. A
// struct ends at the type 0, whatever number comes with it: decoders look at the type alone.
func (w *thriftWalk) fields(do func(id int16, t byte) error) error {
	id := int16(0)
	for {
		b, err := w.byte()
		if err != nil || b&0xf == 0 {
			return err
		}
		if b>>4 > 0 {
			id += int16(b >> 4)
		} else if u, err := w.varint(); err != nil {
			return err
		} else {
			id = int16(unzigzag(u))
		}
		if err := do(id, b&0xf); err != nil {
			return err
		}
	}
}

// field passes over the value of a field of a struct.
func (w *thriftWalk) field(t byte, depth int) error {
	if t == thriftTrue || t == thriftFalse {
		return nil
	}
	return w.value(t, depth)
}

func (w *thriftWalk) value(t byte, depth int) error {
	switch t {
	case 1, 2, 3: // a bool in a list takes a byte
		return w.skip(1)
	case 4, thriftInt32, 6:
		_, err := w.varint()
		return err
	case 7:
		return w.skip(8)
	case 8:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case 9, 10:
		return w.list(depth)
	case thriftStruct:
		return w.structure(depth)
	}
	return errMalformed // maps and UUIDs do not occur in Parquet
}

func (w *thriftWalk) list(depth int) error {
	b, err := w.byte()
	if err != nil {
		return err
	}
	n, t := uint64(b>>4), b&0xf
	if n == 15 {
		if n, err = w.varint(); err != nil {
			return err
		}
	}
	if depth > thriftDepthMax || n > 1<<31 {
		return errMalformed
	}
	start := w.pos
	for range n {
		if err := w.value(t, depth+1); err != nil {
			return err
		}
	}
	// No struct that Parquet puts in a list is shorter than three bytes; a list of a million empty ones would
	// become half a gigabyte of zeros.
	if t == thriftStruct && uint64(w.pos-start) < 3*n {
		return errMalformed
	}
	return nil
}
