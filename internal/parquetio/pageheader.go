package parquetio

import (
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

// decodePageHeader decodes the page header at the head of b and returns its length, or errShort when b ends within it. It leaves the statistics out that some have. A
// scan has one for each page, on which the decoder of any Thrift would spend as long as on what is in a page of few rows.
func decodePageHeader(b []byte, h *format.PageHeader) (int, error) {
	w := thriftWalk{b: b}
	err := w.numbers([]*int32{(*int32)(&h.Type), &h.UncompressedPageSize, &h.CompressedPageSize}, func(id int16, t byte) error {
		switch {
		case id == 4 && t == thriftInt32:
			return w.int32(&h.CRC)
		case id == 5 && t == thriftStruct:
			return w.dataPage(h)
		case id == 7 && t == thriftStruct:
			return w.dictionaryPage(h)
		case id == 8 && t == thriftStruct:
			return w.dataPageV2(h)
		}
		return w.field(t, 1)
	})
	return w.pos, err
}

func (w *thriftWalk) dataPage(h *format.PageHeader) error {
	h.DataPageHeader.Valid = true
	d := &h.DataPageHeader.V
	return w.numbers([]*int32{&d.NumValues, (*int32)(&d.Encoding), (*int32)(&d.DefinitionLevelEncoding), (*int32)(&d.RepetitionLevelEncoding)}, w.other)
}

func (w *thriftWalk) dictionaryPage(h *format.PageHeader) error {
	h.DictionaryPageHeader.Valid = true
	d := &h.DictionaryPageHeader.V
	return w.numbers([]*int32{&d.NumValues, (*int32)(&d.Encoding)}, w.other)
}

func (w *thriftWalk) dataPageV2(h *format.PageHeader) error {
	h.DataPageHeaderV2.Valid = true
	d := &h.DataPageHeaderV2.V
	numbers := []*int32{&d.NumValues, &d.NumNulls, &d.NumRows, (*int32)(&d.Encoding), &d.DefinitionLevelsByteLength, &d.RepetitionLevelsByteLength}
	return w.numbers(numbers, func(id int16, t byte) error {
		if id == 7 && (t == thriftTrue || t == thriftFalse) {
			d.IsCompressed.Set(t == thriftTrue)
		}
		return w.other(id, t)
	})
}

// other passes over a field of a struct within a page header.
func (w *thriftWalk) other(_ int16, t byte) error { return w.field(t, 2) }

// numbers reads a struct whose first fields are the given numbers, all of which it has to have, and hands each of the others to rest.
func (w *thriftWalk) numbers(first []*int32, rest func(id int16, t byte) error) error {
	seen := 0
	err := w.fields(func(id int16, t byte) error {
		if id < 1 || int(id) > len(first) {
			return rest(id, t)
		}
		if t != thriftInt32 {
			return fmt.Errorf("%w: field %d is no number of 32 bits", errMalformed, id)
		}
		seen |= 1 << id
		return w.int32(first[id-1])
	})
	if err == nil && seen != 1<<(len(first)+1)-2 {
		return errMissing
	}
	return err
}

// int32 reads a number of 32 bits.
func (w *thriftWalk) int32(into *int32) error {
	u, err := w.varint()
	if err != nil {
		return err
	}
	v := unzigzag(u)
	if *into = int32(v); int64(*into) != v {
		return errMalformed
	}
	return nil
}
