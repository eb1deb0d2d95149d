package disk

import "io"

// writeBytes is how much is handed to the system at a time. For a megabyte and more Linux looks for as much memory in one piece to keep it in, and takes
// longer to find that, and to have it from a host, than to copy many smaller ones.
const writeBytes = 256 << 10

// InPieces writes to a file as the system takes it best: little at a time.
type InPieces struct{ To io.Writer }

// Write writes b, a piece after the other.
func (w InPieces) Write(b []byte) (n int, err error) {
	for len(b) > writeBytes {
		m, err := w.To.Write(b[:writeBytes])
		if n += m; err != nil {
			return n, err
		}
		b = b[writeBytes:]
	}
	m, err := w.To.Write(b)
	return n + m, err
}
