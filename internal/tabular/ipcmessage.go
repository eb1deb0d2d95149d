package tabular

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// ipcMessages reads the messages of an Arrow IPC stream and checks, before the library decodes one, that no length in
// it exceeds the file: the library allocates what the lengths say, and running out of memory cannot be recovered.
type ipcMessages struct {
	r    *bufio.Reader
	left int64 // bytes of the file that are not read yet
}

const (
	continuation     = 0xffffffff
	metadataBytesMax = 64 << 20
)

// Message implements ipc.MessageReader. The error is io.EOF at the stream's end mark alone.
func (m *ipcMessages) Message() (*ipc.Message, error) {
	size, err := m.length()
	if err == nil && size == continuation {
		size, err = m.length() // files from before Arrow 0.15 have no continuation mark
	}
	switch {
	case err == io.EOF:
		return nil, errors.New("it ends without an end mark")
	case err != nil:
		return nil, err
	case size == 0:
		return nil, io.EOF
	case size < 4 || size > metadataBytesMax:
		return nil, fmt.Errorf("a message's metadata has a length of %d bytes", size)
	}
	metadata, err := m.take(int64(size))
	if err != nil {
		return nil, err
	}
	bodyBytes, err := checkMessage(metadata)
	if err != nil {
		return nil, err
	}
	body, err := m.take(bodyBytes)
	if err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(metadata), memory.NewBufferBytes(body)), nil
}

// Retain implements ipc.MessageReader; the garbage collector does the work.
func (m *ipcMessages) Retain() {}

// Release implements ipc.MessageReader.
func (m *ipcMessages) Release() {}

func (m *ipcMessages) length() (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(m.r, b[:])
	m.left -= int64(len(b))
	return binary.LittleEndian.Uint32(b[:]), err
}

func (m *ipcMessages) take(n int64) ([]byte, error) {
	if n < 0 || n > m.left {
		return nil, fmt.Errorf("a message of %d bytes goes beyond the file's end", n)
	}
	m.left -= n
	b := make([]byte, n)
	_, err := io.ReadFull(m.r, b)
	return b, err
}

// checkStoredSchema checks the schema that Arrow's writers keep, in base64, in a Parquet file's metadata.
func checkStoredSchema(text string) error {
	text = string(bytes.TrimRight([]byte(text), "="))
	message, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("its stored Arrow schema is no base64: %w", err)
	}
	m := &ipcMessages{r: bufio.NewReader(bytes.NewReader(message)), left: int64(len(message))}
	if _, err := m.Message(); err != nil {
		return fmt.Errorf("its stored Arrow schema: %w", err)
	}
	return nil
}

// The slots of the tables in Arrow's Message.fbs and Schema.fbs that lead to vectors, and what else is needed of them.
const (
	slotMessageType, slotMessageHeader, slotMessageBody, slotMessagePairs = 1, 2, 3, 4
	slotSchemaFields, slotSchemaPairs                                     = 1, 2
	slotFieldChildren, slotFieldPairs                                     = 5, 6
	messageIsSchema                                                       = 1
	fieldDepthMax                                                         = 64
)

// checkMessage returns the length of the body that belongs to a message's metadata. Only vectors of tables are
// checked: what else is wrong in it, the library finds.
func checkMessage(metadata []byte) (bodyBytes int64, err error) {
	f := &flatbuffer{b: metadata}
	message := f.follow(0)
	f.vector(message, slotMessagePairs)
	if at := f.field(message, slotMessageType); at != 0 && f.bytes(at, 1)[0] == messageIsSchema {
		schema := f.follow(f.field(message, slotMessageHeader))
		f.vector(schema, slotSchemaPairs)
		for _, at := range f.vector(schema, slotSchemaFields) {
			f.checkField(at, 0)
		}
	}
	if at := f.field(message, slotMessageBody); at != 0 {
		bodyBytes = int64(binary.LittleEndian.Uint64(f.bytes(at, 8)))
	}
	return bodyBytes, f.err
}

// flatbuffer walks the tables of a flatbuffer. After its first fault every table is empty.
type flatbuffer struct {
	b      []byte
	tables int
	err    error
}

func (f *flatbuffer) fail() { f.err = errors.New("a message's metadata is damaged") }

// bytes returns n bytes from at, zeros where there are none.
func (f *flatbuffer) bytes(at, n int) []byte {
	if f.err != nil || at < 0 || at > len(f.b)-n {
		f.fail()
		return make([]byte, n)
	}
	return f.b[at : at+n]
}

// follow returns the place that the offset at `at` leads to.
func (f *flatbuffer) follow(at int) int {
	return at + int(binary.LittleEndian.Uint32(f.bytes(at, 4)))
}

// field returns the place of a table's field, 0 where the table has none.
func (f *flatbuffer) field(table, slot int) int {
	vtable := table - int(int32(binary.LittleEndian.Uint32(f.bytes(table, 4))))
	size := int(binary.LittleEndian.Uint16(f.bytes(vtable, 2)))
	if entry := 4 + 2*slot; f.err == nil && entry+2 <= size {
		if offset := int(binary.LittleEndian.Uint16(f.bytes(vtable+entry, 2))); offset != 0 {
			return table + offset
		}
	}
	return 0
}

// vector returns the tables of a field that is a vector of tables.
func (f *flatbuffer) vector(table, slot int) []int {
	at := f.field(table, slot)
	if at == 0 || f.err != nil {
		return nil
	}
	start := f.follow(at)
	n := int(binary.LittleEndian.Uint32(f.bytes(start, 4)))
	if f.tables += n; f.err != nil || f.tables > len(f.b)/4 { // each table of a sound buffer has an offset of its own
		f.fail()
		return nil
	}
	tables := make([]int, n)
	for i := range tables {
		tables[i] = f.follow(start + 4 + 4*i)
	}
	return tables
}

func (f *flatbuffer) checkField(table, depth int) {
	if depth > fieldDepthMax {
		f.fail()
	}
	f.vector(table, slotFieldPairs)
	for _, child := range f.vector(table, slotFieldChildren) {
		f.checkField(child, depth+1)
	}
}

// cappedAllocator refuses what no sound file asks for, by a panic that guard turns into an error: lengths inside of
// compressed buffers and pages cannot be checked before.
type cappedAllocator struct{ memory.Allocator }

// allocationBytesMax is the most that one buffer may take; a column of a batch is far below it.
const allocationBytesMax = 1 << 30

func newAllocator() memory.Allocator { return cappedAllocator{memory.DefaultAllocator} }

// Allocate implements memory.Allocator.
func (a cappedAllocator) Allocate(size int) []byte {
	capped(size)
	return a.Allocator.Allocate(size)
}

// Reallocate implements memory.Allocator. What shrinks by a quarter or more moves: the Parquet reader doubles its buffers
// while it fills them, and batches that are kept would hold twice their bytes (134 MB, not 64, for a spine of 2 M rows).
func (a cappedAllocator) Reallocate(size int, b []byte) []byte {
	capped(size)
	if size > cap(b)-cap(b)/4 {
		return a.Allocator.Reallocate(size, b)
	}
	moved := a.Allocator.Allocate(size)
	copy(moved, b)
	return moved
}

func capped(size int) {
	if size < 0 || size > allocationBytesMax {
		panic(fmt.Sprintf("a buffer of %d bytes is wanted; at most %d are given", size, allocationBytesMax))
	}
}
