package materialize

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/server"
)

// TestWireText sends texts of any bytes, alone and in lists: what arrives is compared as the same as what was sent, and NULL is no text.
func TestWireText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := array.NewBuilder(memory.DefaultAllocator, feature.Scalar(feature.String).Arrow())
		lists := array.NewBuilder(memory.DefaultAllocator, feature.ListOf(feature.String).Arrow())
		bytes := rapid.SliceOfN(rapid.SampledFrom([]byte{'a', '"', '\\', 0, 0x80, 0xff, 0xef, 0xbf, 0xbd}), 0, 6)
		for range rapid.IntRange(1, 4).Draw(t, "rows") {
			var value, list any
			if rapid.IntRange(0, 3).Draw(t, "null") > 0 {
				value, list = string(bytes.Draw(t, "text")), []string{string(bytes.Draw(t, "first")), string(bytes.Draw(t, "second"))}
			}
			if err := feature.AppendValue(b, value); err != nil {
				t.Fatal(err)
			}
			if err := feature.AppendValue(lists, list); err != nil {
				t.Fatal(err)
			}
		}
		for _, sent := range []array.Builder{b, lists} {
			column := sent.NewArray()
			got, err := server.ReadValues(server.WriteValues(column))
			if err != nil {
				t.Fatal(err)
			}
			for i := range column.Len() {
				if !sameValue(got, i, column, i, wireText) {
					t.Fatalf("%q arrives as %q: %q, %q", valueText(column, i), valueText(got, i), wireText(column, i), wireText(got, i))
				}
			}
		}
	})
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	texts.AppendNull()
	texts.Append("NULL")
	if column := texts.NewArray(); sameValue(column, 0, column, 1, valueText) {
		t.Error("NULL is the same as the text NULL")
	}
}
