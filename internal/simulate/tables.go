package simulate

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

var (
	int64Type   = arrow.PrimitiveTypes.Int64
	float64Type = arrow.PrimitiveTypes.Float64
	stringType  = arrow.BinaryTypes.String
	boolType    = arrow.FixedWidthTypes.Boolean
)

func instant() arrow.DataType { return feature.Scalar(feature.Timestamp).Arrow() }

// table collects the rows of a table, cell by cell.
type table struct {
	*array.RecordBuilder
}

func newTable(fields ...arrow.Field) *table {
	return &table{RecordBuilder: array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))}
}

func column(name string, t arrow.DataType) arrow.Field { return arrow.Field{Name: name, Type: t} }
func nullable(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

func (t *table) int64(c int, v int64)     { t.Field(c).(*array.Int64Builder).Append(v) }
func (t *table) float64(c int, v float64) { t.Field(c).(*array.Float64Builder).Append(v) }
func (t *table) bool(c int, v bool)       { t.Field(c).(*array.BooleanBuilder).Append(v) }
func (t *table) string(c int, v string)   { t.Field(c).(*array.StringBuilder).Append(v) }
func (t *table) instant(c int, v time.Time) {
	t.Field(c).(*array.TimestampBuilder).Append(arrow.Timestamp(v.UnixMicro()))
}

// write writes the rows to a file below dir and forgets them.
func (t *table) write(dir, name string) (Table, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return Table{}, feature.Errorf(feature.ErrUnavailable, "create a directory for %s: %w", path, err)
	}
	batch := t.NewRecordBatch()
	return Table{name, int(batch.NumRows())}, tabular.WriteFile(path, batch.Schema(), batch)
}

func writePayments(ctx context.Context, dir string, w *world, payments []payment, res *Result) ([]Table, error) {
	merchant := arrow.StructOf(nullable("category", stringType), column("country", stringType))
	t := newTable(column("tx_id", int64Type), column("tx_time", instant()), column("loaded_at", instant()), column("customer_id", int64Type),
		column("terminal_id", int64Type), column("amount", float64Type), column("currency", stringType), column("is_online", boolType), column("merchant", merchant))
	month := ""
	flush := func() error {
		if month == "" {
			return nil
		}
		written, err := t.write(dir, "data/transactions/month="+month+"/part-0.parquet")
		res.Payments += written.Rows
		return err
	}
	for id := range payments {
		p := &payments[id]
		if p.loaded.After(w.end) { // nobody knew of it when the tables were copied
			continue
		}
		if m := p.at.Format("2006-01"); m != month {
			if err := flush(); err != nil {
				return nil, err
			}
			month = m
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		t.payment(id, p, &w.terminals[p.terminal])
	}
	err := flush()
	return []Table{{"data/transactions/month=*/*.parquet", res.Payments}}, err
}

func (t *table) payment(id int, p *payment, at *terminal) {
	t.int64(0, int64(id+1))
	t.instant(1, p.at)
	t.instant(2, p.loaded)
	t.int64(3, int64(p.customer+1))
	t.int64(4, int64(p.terminal+1))
	t.float64(5, p.amount)
	currency := map[string]string{"PL": "PLN", "CH": "CHF"}[at.country]
	if currency == "" {
		currency = "EUR"
	}
	t.string(6, currency)
	t.bool(7, p.online)
	m := t.Field(8).(*array.StructBuilder)
	m.Append(true)
	appendText(m.FieldBuilder(0), at.category)
	m.FieldBuilder(1).(*array.StringBuilder).Append(at.country)
}

func appendText(b array.Builder, s string) {
	if s == "" {
		b.AppendNull()
		return
	}
	b.(*array.StringBuilder).Append(s)
}

func writeCustomers(dir string, w *world) ([]Table, error) {
	rng := w.cfg.stream(streamCustomers + 100)
	t := newTable(column("customer_id", int64Type), column("updated_at", instant()), column("loaded_at", instant()), column("birth_year", arrow.PrimitiveTypes.Int32),
		column("home_country", stringType), nullable("income", float64Type), column("segments", arrow.ListOfNonNullable(stringType)))
	for i := range w.customers {
		c := w.customers[i] // a copy, which changes from row to row
		for _, at := range append([]time.Time{c.firstRow}, c.changes...) {
			loaded := at.Add(time.Duration(rng.Int64N(int64(6 * time.Hour))))
			if loaded.After(w.end) {
				break
			}
			t.customer(i, &c, at, loaded)
			if c.income > 0 {
				c.income = max(0, c.income+float64(rng.IntN(9)-3)*1000)
			}
			c.segmentSet ^= 1 << rng.IntN(len(segmentNames))
			if rng.Float64() < 0.05 {
				c.country = []string{"DE", "FR", "NL", "AT"}[rng.IntN(4)]
			}
		}
	}
	written, err := t.write(dir, "data/customers/customers.parquet")
	return []Table{written}, err
}

func (t *table) customer(i int, c *customer, at, loaded time.Time) {
	t.int64(0, int64(i+1))
	t.instant(1, at)
	t.instant(2, loaded)
	t.Field(3).(*array.Int32Builder).Append(c.birthYear)
	t.string(4, c.country)
	if c.income > 0 {
		t.float64(5, c.income)
	} else {
		t.Field(5).AppendNull()
	}
	segments := t.Field(6).(*array.ListBuilder)
	segments.Append(true)
	for s, name := range segmentNames {
		if c.segmentSet&(1<<s) != 0 {
			segments.ValueBuilder().(*array.StringBuilder).Append(name)
		}
	}
}

func writeTerminals(dir string, w *world) ([]Table, error) {
	rng := w.cfg.stream(streamTerminals + 100)
	t := newTable(column("terminal_id", int64Type), column("updated_at", instant()), nullable("risk_band", stringType), column("lat", float64Type), column("lon", float64Type),
		column("installed_on", arrow.FixedWidthTypes.Date32))
	add := func(i int, at time.Time, band string) {
		if at.After(w.end) {
			return
		}
		t.int64(0, int64(i+1))
		t.instant(1, at)
		appendText(t.Field(2), band)
		t.float64(3, w.terminals[i].lat)
		t.float64(4, w.terminals[i].lon)
		t.Field(5).(*array.Date32Builder).Append(arrow.Date32FromTime(w.terminals[i].installed))
	}
	for i := range w.terminals {
		add(i, w.terminals[i].installed.Add(9*time.Hour), []string{"low", "low", "low", "medium", ""}[rng.IntN(5)])
		if tampered := w.terminals[i].tampered; !tampered.from.IsZero() {
			add(i, tampered.from.Add(time.Duration(3+rng.IntN(6))*day), "high") // when somebody has noticed
			add(i, tampered.to.Add(12*time.Hour), "medium")
		}
	}
	written, err := t.write(dir, "data/terminals/terminals.parquet")
	return []Table{written}, err
}

func writeMarket(dir string, w *world) ([]Table, error) {
	rng := w.cfg.stream(streamMarket)
	t := newTable(column("as_of", instant()), column("eur_usd", float64Type), nullable("fraud_pressure", float64Type))
	rate := 1.08
	for at := w.start.Add(-30 * day).Truncate(day).Add(4 * time.Hour); at.Before(w.end); at = at.Add(day) {
		rate *= math.Exp(0.004 * rng.NormFloat64())
		t.instant(0, at)
		t.float64(1, math.Round(rate*10_000)/10_000)
		if at.Before(w.start) { // nobody measured it then
			t.Field(2).AppendNull()
		} else {
			t.float64(2, math.Round(1000*(w.pressure(at)+0.2*rng.Float64()))/1000)
		}
	}
	written, err := t.write(dir, "data/market/market.parquet")
	return []Table{written}, err
}

// labelDelay is the time until it is known whether a payment was fraud.
const labelDelay = 7 * day

// writeInvestigations writes what the investigators found out about each payment, a week after it.
func writeInvestigations(dir string, w *world, payments []payment) ([]Table, error) {
	t := newTable(column("tx_id", int64Type), column("tx_time", instant()), column("closed_at", instant()), column("terminal_id", int64Type),
		column("is_fraud", boolType))
	for id := range payments {
		p := &payments[id]
		if p.amount <= 0 || p.at.Add(labelDelay).After(w.end) {
			continue
		}
		t.int64(0, int64(id+1))
		t.instant(1, p.at)
		t.instant(2, p.at.Add(labelDelay))
		t.int64(3, int64(p.terminal+1))
		t.bool(4, p.fraud)
	}
	written, err := t.write(dir, "data/investigations/investigations.parquet")
	return []Table{written}, err
}

// writeSpine writes the payments whose label is known at the end: what a model is trained on.
func writeSpine(dir string, w *world, payments []payment, res *Result) ([]Table, error) {
	t := newTable(column("tx_id", int64Type), column("event_timestamp", instant()), column("customer_id", int64Type), column("terminal_id", int64Type),
		column("payee_id", int64Type), column("amount", float64Type), column("is_fraud", boolType), column("label_time", instant()))
	var known []int
	for id := range payments {
		if p := &payments[id]; p.amount > 0 && !p.at.Add(labelDelay).After(w.end) {
			known = append(known, id)
		}
	}
	rows := len(known)
	if w.cfg.SpineRows > 0 {
		rows = min(rows, w.cfg.SpineRows)
	}
	for i := range rows {
		id := known[i*len(known)/rows]
		p := &payments[id]
		t.int64(0, int64(id+1))
		t.instant(1, p.at)
		t.int64(2, int64(p.customer+1))
		t.int64(3, int64(p.terminal+1))
		t.int64(4, int64(p.payee+1))
		t.float64(5, p.amount)
		t.bool(6, p.fraud)
		t.instant(7, p.at.Add(labelDelay))
		if p.fraud {
			res.Frauds++
		}
	}
	written, err := t.write(dir, w.cfg.Spine)
	res.Labelled = written.Rows
	return []Table{written}, err
}
