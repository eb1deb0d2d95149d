package feature

import "math/bits"

// Status tells where a served or exported value comes from. The values are part of stored and wire formats.
type Status uint8

// The statuses. The value beside NULL, NOT_FOUND and EXPIRED is what training would have given: the default, or NULL.
const (
	Present  Status = 1 // a value of a visible row
	Null     Status = 2 // the visible row holds NULL
	NotFound Status = 3 // no row of the key is visible
	Expired  Status = 4 // the latest visible row is older than the view's ttl
)

// String returns the status as answers write it.
func (s Status) String() string {
	switch s {
	case Present:
		return "PRESENT"
	case Null:
		return "NULL"
	case NotFound:
		return "NOT_FOUND"
	case Expired:
		return "EXPIRED"
	}
	return "STATUS_UNSPECIFIED"
}

// PresentBits returns the Arrow bitmap of the rows that are present and the number of others.
func PresentBits(rows []Status) (bitmap []byte, absent int) {
	bitmap = make([]byte, (len(rows)+7)/8)
	for i := range bitmap {
		eight := rows[8*i : min(8*i+8, len(rows))]
		var b byte
		for k, s := range eight {
			if s == Present {
				b |= 1 << k
			}
		}
		bitmap[i] = b
		absent += len(eight) - bits.OnesCount8(b)
	}
	return bitmap, absent
}
