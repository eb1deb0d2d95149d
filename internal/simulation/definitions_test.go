package simulation

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// second is the unit of time; the clock starts at 100.
const second = feature.Time(time.Second / time.Microsecond)

// keys is how many keys there are.
const keys = 4

// meaning is what can change in the definitions of a history's two views: latest has the latest values, and windows windows.
type meaning struct {
	delay, ttl  int
	factor      int  // stored rows of latest depend on it
	more        bool // latest has another column
	where       bool
	granularity int // 0: exact
	maximum     bool
}

func newMeaning(r *rand.Rand) meaning {
	return meaning{delay: r.IntN(4), ttl: pick(r, 0, 10), factor: 1 + r.IntN(2), more: r.IntN(2) == 0, where: r.IntN(3) == 0, granularity: pick(r, 0, 2), maximum: r.IntN(2) == 0}
}

// change changes one thing.
func (m *meaning) change(r *rand.Rand) {
	now := newMeaning(r)
	switch r.IntN(6) {
	case 0:
		m.delay = now.delay
	case 1:
		m.ttl = now.ttl
	case 2:
		m.factor, m.where = now.factor, now.where
	case 3:
		m.more = !m.more
	case 4:
		m.granularity = now.granularity
	default:
		m.maximum = !m.maximum
	}
}

func (m *meaning) yaml() string {
	var y strings.Builder
	y.WriteString(`
entities:
  - {name: e, keys: {k: int64}}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at, created_time: known}
views:
  - name: latest
    entity: e
    source: src
`)
	fmt.Fprintf(&y, "    delay: %ds\n", m.delay)
	if m.ttl > 0 {
		fmt.Fprintf(&y, "    ttl: %ds\n", m.ttl)
	}
	where := ""
	if m.where {
		where = "    where: x > 2\n"
	}
	fmt.Fprintf(&y, "%s    features:\n      - {name: y, expr: x * %d, default: -1}\n", where, m.factor)
	if m.more {
		y.WriteString("      - {name: s, type: string}\n")
	}
	fmt.Fprintf(&y, "  - name: windows\n    entity: e\n    source: src\n    delay: %ds\n%s", m.delay, where)
	if m.granularity > 0 {
		fmt.Fprintf(&y, "    granularity: %ds\n", m.granularity)
	}
	y.WriteString("    aggregations:\n      - {function: count, windows: [4s]}\n      - {function: sum, column: f, windows: [6s, unbounded]}\n      - {function: last, column: s, windows: [8s]}\n")
	if m.maximum {
		y.WriteString("      - {function: max, column: x, windows: [4s]}\n")
	}
	y.WriteString("services:\n  - {name: of_latest, features: [{view: latest}]}\n  - {name: of_windows, features: [{view: windows}]}\n")
	return y.String()
}

// writeSource writes a source file of random rows, most of them of the last seconds; the view's runs have passed some already, and
// have yet to reach others. Its modification time is one that no other file has had.
func writeSource(path string, now feature.Time, modified time.Time, r *rand.Rand) error {
	timestamp := feature.Scalar(feature.Timestamp).Arrow()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "k", Type: arrow.PrimitiveTypes.Int64}, {Name: "at", Type: timestamp}, {Name: "known", Type: timestamp, Nullable: true},
		{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for range r.IntN(16) {
		event := now - feature.Time(r.IntN(20)-4)*second + feature.Time(r.IntN(3)-1)
		b.Field(0).(*array.Int64Builder).Append(r.Int64N(keys))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(event))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(event + feature.Time(r.IntN(3))*second))
		b.Field(3).(*array.Int64Builder).Append(r.Int64N(9))
		b.Field(4).(*array.Float64Builder).Append(pick(r, 0.1, 1e16, -1e16, 1, r.Float64()))
		b.Field(5).(*array.StringBuilder).Append(fmt.Sprint("s", r.IntN(100)))
		for i := 3; i < 6; i++ {
			if r.IntN(6) == 0 {
				b.Field(i).SetNull(b.Field(i).Len() - 1)
			}
		}
	}
	if err := tabular.WriteFile(path, schema, b.NewRecordBatch()); err != nil {
		return err
	}
	return os.Chtimes(path, modified, modified)
}
