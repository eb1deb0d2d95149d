package tabular

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/asof-store/asof/feature"
)

// recordBytesMax bounds a CSV record, so that a quote that nobody closes does not read the file into memory.
const recordBytesMax = 16 << 20

// csvScanner splits RFC 4180 text into records. It differs from encoding/csv in what a table that passes through untouched
// needs: line ends inside quotes stay as they are, and an empty field is told from a quoted empty one.
type csvScanner struct {
	name   string // of the file, for messages
	r      *bufio.Reader
	line   int64 // of the last record's first line, from 1
	lines  int64 // read so far
	fields []csvField
	buf    []byte // a record that does not lie in r's buffer whole
	text   []byte // unquoted fields
}

// csvField is a field of the last record; its text is valid until the next one.
type csvField struct {
	text   []byte
	quoted bool
}

func newCSVScanner(name string, r io.Reader) *csvScanner {
	s := &csvScanner{name: name, r: bufio.NewReaderSize(r, 256<<10)}
	if bom, _ := s.r.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = s.r.Discard(len(bom)) // just peeked
	}
	return s
}

// next reads the next record into s.fields. The error is io.EOF after the last.
func (s *csvScanner) next() error {
	s.buf = s.buf[:0]
	s.line = s.lines + 1
	record, err := s.readLine()
	if err != nil {
		return err
	}
	if bytes.IndexByte(record, '"') < 0 {
		s.splitPlain(trimLineEnd(record))
		return nil
	}
	// A record goes on while a quote is open; quotes come in pairs, so an odd number of them is one open.
	quotes := bytes.Count(record, []byte{'"'})
	for quotes%2 == 1 {
		if len(s.buf) == 0 {
			s.buf = append(s.buf, record...) // it lies in r's buffer, which the next read overwrites
		}
		counted := len(s.buf)
		record, err = s.readLine()
		switch {
		case err == io.EOF:
			return s.fault("a quote that opens in this record is never closed")
		case err != nil:
			return err
		}
		quotes += bytes.Count(record[counted:], []byte{'"'})
	}
	return s.splitQuoted(trimLineEnd(record))
}

// readLine returns s.buf and the next line after it, with its line end where it has one.
func (s *csvScanner) readLine() ([]byte, error) {
	s.lines++
	for {
		part, err := s.r.ReadSlice('\n')
		switch {
		case err == nil && len(s.buf) == 0:
			return part, nil
		case len(s.buf)+len(part) > recordBytesMax:
			return nil, s.fault("the record has more than %d MiB: is a quote never closed?", recordBytesMax>>20)
		}
		before := len(s.buf)
		s.buf = append(s.buf, part...)
		switch {
		case err == nil:
			return s.buf, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(s.buf) > before:
			return s.buf, nil // the last line has no line end
		default:
			return nil, err
		}
	}
}

// splitPlain cuts a record without any quote.
func (s *csvScanner) splitPlain(record []byte) {
	s.fields = s.fields[:0]
	for {
		i := bytes.IndexByte(record, ',')
		if i < 0 {
			s.fields = append(s.fields, csvField{text: record})
			return
		}
		s.fields = append(s.fields, csvField{text: record[:i]})
		record = record[i+1:]
	}
}

// splitQuoted cuts a record that has quotes and takes them away.
func (s *csvScanner) splitQuoted(record []byte) error {
	s.fields = s.fields[:0]
	if cap(s.text) < len(record) { // never grown below: fields point into it
		s.text = make([]byte, 0, len(record))
	}
	s.text = s.text[:0]
	for {
		if len(record) == 0 || record[0] != '"' {
			end := bytes.IndexByte(record, ',')
			plain := record
			if end >= 0 {
				plain = record[:end]
			}
			if bytes.IndexByte(plain, '"') >= 0 {
				return s.fault("field %d has a quote inside: write the field in quotes and the quote twice", len(s.fields)+1)
			}
			s.fields = append(s.fields, csvField{text: plain})
			if end < 0 {
				return nil
			}
			record = record[end+1:]
			continue
		}
		rest, err := s.takeQuoted(record[1:])
		if err != nil {
			return err
		}
		if len(rest) == 0 {
			return nil
		}
		record = rest[1:] // after the comma
	}
}

// takeQuoted takes a field whose opening quote has been read and returns what follows its closing quote.
func (s *csvScanner) takeQuoted(record []byte) ([]byte, error) {
	start := len(s.text)
	for {
		i := bytes.IndexByte(record, '"')
		if i < 0 {
			return nil, s.fault("a quote that opens in this record is never closed")
		}
		s.text = append(s.text, record[:i]...)
		record = record[i+1:]
		if len(record) == 0 || record[0] == ',' {
			s.fields = append(s.fields, csvField{text: s.text[start:len(s.text):len(s.text)], quoted: true})
			return record, nil
		}
		if record[0] != '"' {
			return nil, s.fault("field %d goes on after its closing quote", len(s.fields)+1)
		}
		s.text = append(s.text, '"')
		record = record[1:]
	}
}

func (s *csvScanner) fault(format string, args ...any) error {
	return feature.Errorf(feature.ErrInvalid, "%s:%d: "+format, append([]any{s.name, s.line}, args...)...)
}

func trimLineEnd(record []byte) []byte {
	record = bytes.TrimSuffix(record, []byte{'\n'})
	return bytes.TrimSuffix(record, []byte{'\r'})
}
