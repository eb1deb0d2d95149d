package feature

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"
)

// TestKeyOrder checks that the byte form orders composite keys as comparing their parts one by one does, that different keys
// have different forms, and that decoding gives the parts back.
func TestKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fields []Field
		for i := range rapid.IntRange(0, 3).Draw(t, "parts") {
			kind := rapid.SampledFrom([]Kind{Bool, Int32, Int64, String, Bytes, Timestamp}).Draw(t, "kind")
			fields = append(fields, Field{fmt.Sprint("k", i), Scalar(kind)})
		}
		a, b := randomParts(t, fields), randomParts(t, fields)
		if got, want := bytes.Compare(encode(t, fields, a), encode(t, fields, b)), compareParts(a, b); got != want {
			t.Fatalf("%v and %v compare as %d, their keys as %d", a, b, want, got)
		}
		decoded, err := DecodeKey(encode(t, fields, a), fields)
		if err != nil || compareParts(decoded, a) != 0 {
			t.Fatalf("%v decodes to %v, %v", a, decoded, err)
		}
	})
}

func randomParts(t *rapid.T, fields []Field) []any {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("\x00\x01a\xff")), 0, 3, -1)
	parts := make([]any, len(fields))
	for i, f := range fields {
		switch f.Type.Kind {
		case Bool:
			parts[i] = rapid.Bool().Draw(t, "part")
		case Int32:
			parts[i] = rapid.Int32().Draw(t, "part")
		case Int64:
			parts[i] = rapid.Int64().Draw(t, "part")
		case Timestamp:
			parts[i] = Time(rapid.Int64().Draw(t, "part"))
		case String:
			parts[i] = text.Draw(t, "part")
		case Bytes:
			parts[i] = []byte(text.Draw(t, "part"))
		}
	}
	return parts
}

func encode(t *rapid.T, fields []Field, parts []any) (k Key) {
	for i, f := range fields {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
		if err := AppendValue(b, parts[i]); err != nil {
			t.Fatal(err)
		}
		k, _ = AppendKeyPart(k, b.NewArray(), 0)
	}
	return k
}

func compareParts(a, b []any) int {
	for i := range a {
		order := 0
		switch x := a[i].(type) {
		case bool:
			order = cmp.Compare(fmt.Sprint(x), fmt.Sprint(b[i])) // "false" < "true"
		case int32:
			order = cmp.Compare(x, b[i].(int32))
		case int64:
			order = cmp.Compare(x, b[i].(int64))
		case Time:
			order = cmp.Compare(x, b[i].(Time))
		case string:
			order = strings.Compare(x, b[i].(string))
		case []byte:
			order = bytes.Compare(x, b[i].([]byte))
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// FuzzDecodeKey checks that no bytes make decoding panic, and that what decodes is what would be encoded.
func FuzzDecodeKey(f *testing.F) {
	fields := []Field{{"b", Scalar(Bool)}, {"i", Scalar(Int32)}, {"s", Scalar(String)}, {"t", Scalar(Timestamp)}}
	f.Add([]byte{1, 0x80, 0, 0, 5, 'a', 0, 0xff, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, k []byte) {
		parts, err := DecodeKey(k, fields)
		if err != nil {
			if KindOf(err) != ErrCorrupt {
				t.Fatalf("%v is no ErrCorrupt", err)
			}
			return
		}
		again := AppendKeyInt64(AppendKeyString(AppendKeyInt32(AppendKeyBool(nil, parts[0].(bool)), parts[1].(int32)), parts[2].(string)), int64(parts[3].(Time)))
		if !bytes.Equal(again, k) {
			t.Fatalf("%x decodes to %v, which encodes to %x", k, parts, again)
		}
	})
}
