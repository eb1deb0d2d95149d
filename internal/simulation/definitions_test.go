package simulation

import (
	"fmt"
	"math/rand/v2"
	"os"
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
const keys = 5

// meaning is what can change in the definitions of a history: of a view of latest values, of one of windows, or of both.
type meaning struct {
	latest, windows bool
	delay, ttl      int
	factor          int  // stored rows of latest depend on it
	more            bool // latest has another column
	where           bool
	granularity     int // 0: exact
	maximum         bool
}

func newMeaning(r *rand.Rand) meaning {
	kinds := 1 + r.IntN(3)
	return meaning{latest: kinds&1 > 0, windows: kinds&2 > 0, delay: r.IntN(4), ttl: pick(r, 0, 10), factor: 1 + r.IntN(2), more: r.IntN(2) == 0,
		where: r.IntN(3) == 0, granularity: pick(r, 0, 2), maximum: r.IntN(2) == 0}
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
	y := `
entities:
  - {name: e, keys: {k: int64}}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at, created_time: known}
views:
`
	services := "services:\n"
	for _, v := range []struct {
		is   bool
		name string
		rest func() string
	}{{m.latest, "latest", m.latestYAML}, {m.windows, "windows", m.windowsYAML}} {
		if !v.is {
			continue
		}
		y += fmt.Sprintf("  - name: %s\n    entity: e\n    source: src\n    delay: %ds\n", v.name, m.delay)
		if m.where {
			y += "    where: x > 2\n"
		}
		y += v.rest()
		services += fmt.Sprintf("  - {name: of_%s, features: [{view: %s}]}\n", v.name, v.name)
	}
	return y + services
}

func (m *meaning) latestYAML() (y string) {
	if m.ttl > 0 {
		y += fmt.Sprintf("    ttl: %ds\n", m.ttl)
	}
	y += fmt.Sprintf("    features:\n      - {name: y, expr: x * %d, default: -1}\n", m.factor)
	if m.more {
		y += "      - {name: s, type: string}\n"
	}
	return y
}

func (m *meaning) windowsYAML() (y string) {
	if m.granularity > 0 {
		y += fmt.Sprintf("    granularity: %ds\n", m.granularity)
	}
	y += `    aggregations:
      - {function: count, windows: [4s]}
      - {function: sum, column: f, windows: [6s, unbounded]}
      - {function: last, column: s, windows: [8s]}
`
	if m.maximum {
		y += "      - {function: max, column: x, windows: [4s]}\n"
	}
	return y
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
	for range r.IntN(1 << r.IntN(5)) { // often few, so that what is forgotten is not made good by the next row of its key
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
