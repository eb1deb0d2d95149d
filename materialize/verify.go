package materialize

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// VerifyRequest says what to verify. The zero value compares all keys.
type VerifyRequest struct {
	Sample int    // so many keys of the history, drawn at random; 0: all of them, and all that are online
	Seed   uint64 // of the draw
	// Served is what is compared; nil: what lies in the engine's own online store, to the bit. What is served by others comes with
	// defaults, and without the values that have expired since, which are known by their event time alone then; keys that are online and
	// not in the history are not found.
	Served Served
}

// Verification is the comparison of a view's online values with what training would see.
type Verification struct {
	View      string
	Watermark feature.Time // as of which the online values are, at the end
	Snapshot  int64        // of the history that they were compared with then
	Keys      int64        // that were compared
	Equal     int64
	Different int64 // with some other value or event time online
	Missing   int64 // not online
	Extra     int64 // online, and not in the history; looked for where all keys of an own store are compared
	Features  []FeatureCounts
	// Differences are the first of them, at most DifferencesMax.
	Differences []Difference
}

// FeatureCounts counts the keys of which a feature is equal, different and missing online.
type FeatureCounts struct {
	Name                      string
	Equal, Different, Missing int64
}

// DifferencesMax is how many differences a [Verification] keeps.
const DifferencesMax = 20

// Difference is a value that is not the same online as offline.
type Difference struct {
	Key             string        // as feature.KeyText gives it
	Parts           []arrow.Array // the key's parts, columns of one row
	Feature         string        // "" where the key is on one side alone
	Online, Offline string        // the values, as text
	// The event times that they come from; feature.MinTime where there is none.
	OnlineEvent, OfflineEvent feature.Time
	// Snapshot and Watermark are what the online values were published from.
	Snapshot  int64
	Watermark feature.Time
}

// OK reports whether nothing differs.
func (v *Verification) OK() bool { return v.Different == 0 && v.Missing == 0 && v.Extra == 0 }

// Verify compares the online values of view with the point-in-time join at the online watermark, value by value, to the bit. A view that
// is published meanwhile is compared with what was published: each lot of keys with the watermark and the snapshot that held before and
// after they were looked up. It fails with ErrNotFound for a view that was never published or whose snapshot is gone, with ErrUnavailable
// where online is known to be behind (a publication was interrupted, or the definition has changed since), and with ErrConflict while
// a publication in place is under way, or where publications follow each other too fast.
func (e *Engine) Verify(ctx context.Context, view *feature.View, r VerifyRequest) (v Verification, err error) {
	c := newVerifier(e, view, r, &v)
	defer func() { err = errors.Join(err, c.close()) }()
	state, known, err := c.served.State(ctx, view)
	if err == nil {
		err = checkServed(view, state, known)
	}
	if err == nil {
		err = c.moveTo(ctx, state)
	}
	if err != nil {
		return v, err
	}
	runs, visible := c.runs, []feature.Range{upTo(state.Horizon)}
	draw := everyKey
	if r.Sample > 0 {
		total := int64(0)
		if err := pointintime.Keys(ctx, view, runs, visible, publishKeys, func(_ []arrow.Array, rows int) error {
			total += int64(rows)
			return nil
		}); err != nil {
			return v, err
		}
		draw = sampled(r, total)
	}
	bar := e.start(view.Name+": verifying", 0)
	defer bar.Fail()
	if err := pointintime.Keys(ctx, view, runs, visible, c.lot, func(keys []arrow.Array, rows int) error {
		keys, rows = draw(keys, rows)
		bar.Add(int64(rows))
		return c.compare(ctx, keys, rows)
	}); err != nil {
		return v, err
	}
	if r.Sample <= 0 && r.Served == nil {
		if err := c.extra(ctx); err != nil {
			return v, err
		}
	}
	bar.Done("")
	return v, nil
}

func everyKey(keys []arrow.Array, rows int) ([]arrow.Array, int) { return keys, rows }

// sampled returns a function that draws r.Sample of total keys, each with the same chance (Knuth's algorithm S).
func sampled(r VerifyRequest, total int64) func([]arrow.Array, int) ([]arrow.Array, int) {
	random, wanted := rand.New(rand.NewPCG(r.Seed, 0)), int64(r.Sample)
	return func(keys []arrow.Array, rows int) ([]arrow.Array, int) {
		var chosen []int32
		for i := range rows {
			if random.Int64N(max(1, total)) < wanted {
				chosen, wanted = append(chosen, int32(i)), wanted-1
			}
			total--
		}
		drawn := make([]arrow.Array, len(keys))
		for i, column := range keys {
			drawn[i] = interleave.Rows([]arrow.Array{column}, make([]int32, len(chosen)), chosen)
		}
		return drawn, len(chosen)
	}
}

// verifier compares keys of one view.
type verifier struct {
	e        *Engine
	view     *feature.View // as it is served
	features []int         // all of them
	served   Served
	lot      int                           // how many keys are looked up at once
	text     func(arrow.Array, int) string // values as they are compared
	state    online.State                  // of publication that values are compared with
	runs     []pointintime.Run             // of its snapshot
	opened   map[int64]*offline.Snapshot   // by id; they stay open, for the keys come from the first one
	v        *Verification
}

// servedValues is about how many values are asked of a server at once.
const servedValues = 1 << 14

func newVerifier(e *Engine, view *feature.View, r VerifyRequest, v *Verification) *verifier {
	c := &verifier{e: e, view: view, served: r.Served, text: wireText, lot: max(1, servedValues/len(view.Features)), opened: map[int64]*offline.Snapshot{}, v: v}
	if c.served == nil {
		c.view, c.served, c.text, c.lot = rawView(view), e.Serves(), valueText, publishKeys
	}
	v.View = view.Name
	for i := range view.Features {
		c.features = append(c.features, i)
		v.Features = append(v.Features, FeatureCounts{Name: view.Features[i].Name})
	}
	return c
}

func (c *verifier) close() (err error) {
	for _, s := range c.opened {
		err = errors.Join(err, s.Close())
	}
	return err
}

// moveTo makes a state of publication the one that values are compared with.
func (c *verifier) moveTo(ctx context.Context, state online.State) error {
	snapshot := c.opened[state.Snapshot]
	if snapshot == nil {
		var err error
		if snapshot, err = c.e.Offline.SnapshotAt(ctx, c.view.Name, state.Snapshot); err != nil {
			return err
		}
		c.opened[state.Snapshot] = snapshot
	}
	runs, err := runsOf(ctx, snapshot)
	c.state, c.runs, c.v.Watermark, c.v.Snapshot = state, runs, state.Watermark, state.Snapshot
	return err
}

// offline returns what training would see for keys at the watermark.
func (c *verifier) offline(ctx context.Context, keys []arrow.Array, rows int) (*pointintime.Answer, error) {
	q := pointintime.Question{View: c.view, Features: c.features, Keys: keys, Times: timesOf(c.state.Watermark, rows)}
	return pointintime.Join(ctx, q, c.runs, pointintime.Options{Workers: c.e.Workers})
}

// timesOf returns a column of one time.
func timesOf(at feature.Time, rows int) *array.Timestamp {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	b.Reserve(rows)
	for range rows {
		b.UnsafeAppend(arrow.Timestamp(at))
	}
	return b.NewTimestampArray()
}

// compare compares keys of the history.
func (c *verifier) compare(ctx context.Context, keys []arrow.Array, rows int) error {
	if rows == 0 {
		return nil
	}
	state, served, err := getPublished(ctx, c.served, c.view, c.features, keys, rows)
	if err == nil && state != c.state {
		err = c.moveTo(ctx, state)
	}
	if err != nil {
		return err
	}
	offline, err := c.offline(ctx, keys, rows)
	if err != nil {
		return err
	}
	c.v.Keys += int64(rows)
	for i := range rows {
		switch {
		case offline.Found(i) && !served[0].Found[i]:
			c.v.Missing++
			for f := range c.v.Features {
				c.v.Features[f].Missing++
			}
			c.note(keys, i, Difference{Online: "no such key", Offline: "has values", OnlineEvent: feature.MinTime, OfflineEvent: offline.EventTimes[i]})
		case c.differ(keys, served, offline, i):
			c.v.Different++
		default:
			c.v.Equal++
		}
	}
	return nil
}

// differ counts and notes what differs of the key in row i.
func (c *verifier) differ(keys []arrow.Array, served []*online.Column, offline *pointintime.Answer, i int) (different bool) {
	for f, column := range served {
		if agree(c.view, column, i, offline, f, i, c.text) {
			c.v.Features[f].Equal++
			continue
		}
		different = true
		c.v.Features[f].Different++
		c.note(keys, i, Difference{Feature: column.Name, Online: c.text(column.Values(), i), Offline: c.text(offline.Columns[f].Values, i),
			OnlineEvent: eventOf(column.Found[i], column.EventTimes[i]), OfflineEvent: eventOf(offline.Found(i), offline.EventTimes[i])})
	}
	return different
}

// note keeps a difference of the key in row i, as long as there is room.
func (c *verifier) note(keys []arrow.Array, i int, d Difference) {
	if len(c.v.Differences) == DifferencesMax {
		return
	}
	d.Key, d.Snapshot, d.Watermark = feature.KeyText(c.view.Keys, keys, i), c.state.Snapshot, c.state.Watermark
	for _, part := range keys {
		d.Parts = append(d.Parts, one(part, i))
	}
	c.v.Differences = append(c.v.Differences, d)
}

// valueText shows a value so that two look alike only if they are the same.
func valueText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "NULL"
	}
	return column.ValueStr(i)
}

// wireText is valueText of a value as servers send it, with U+FFFD in the place of all that is not UTF-8. How many of those stand for how many
// bytes is lost on the way, and in the JSON of lists.
func wireText(column arrow.Array, i int) string {
	const unknown = "\ufffd"
	text := strings.ToValidUTF8(strings.ReplaceAll(valueText(column, i), `\ufffd`, unknown), unknown)
	for strings.Contains(text, unknown+unknown) {
		text = strings.ReplaceAll(text, unknown+unknown, unknown)
	}
	return text
}

// sameValue reports whether two values are the same, as text shows them.
func sameValue(a arrow.Array, i int, b arrow.Array, j int, text func(arrow.Array, int) string) bool {
	return a.IsNull(i) == b.IsNull(j) && text(a, i) == text(b, j)
}

// extra looks for keys that are online and not in the history.
func (c *verifier) extra(ctx context.Context) error {
	var held []feature.Key
	check := func() error {
		keys, err := c.columnsOf(held)
		if err != nil {
			return err
		}
		offline, err := c.offline(ctx, keys, len(held))
		if err != nil {
			return err
		}
		for i := range offline.Rows {
			if !offline.Found(i) {
				c.v.Extra++
				c.note(keys, i, Difference{Online: "has values", Offline: "no such key", OnlineEvent: feature.MinTime, OfflineEvent: feature.MinTime})
			}
		}
		held = held[:0]
		if now, _, err := c.served.State(ctx, c.view); err != nil || now != c.state {
			return errors.Join(err, feature.Errorf(feature.ErrConflict, "view %s has been published while it was verified: verify it again", c.view.Name))
		}
		return nil
	}
	err := c.e.Online.Scan(c.view.Name, func(s online.Stored) error {
		if held = append(held, append(feature.Key(nil), s.Key...)); len(held) < publishKeys {
			return ctx.Err()
		}
		return check()
	})
	if err == nil && len(held) > 0 {
		err = check()
	}
	return err
}

// columnsOf returns keys as columns of their parts.
func (c *verifier) columnsOf(keys []feature.Key) ([]arrow.Array, error) {
	builders := make([]array.Builder, len(c.view.Keys))
	for i, k := range c.view.Keys {
		builders[i] = array.NewBuilder(memory.DefaultAllocator, k.Type.Arrow())
	}
	for _, key := range keys {
		parts, err := feature.DecodeKey(key, c.view.Keys)
		if err != nil {
			return nil, feature.Errorf(feature.KindOf(err), "view %s, online store: %w", c.view.Name, err)
		}
		for i, part := range parts {
			if err := feature.AppendValue(builders[i], part); err != nil {
				return nil, feature.Errorf(feature.ErrInternal, "view %s: %w", c.view.Name, err)
			}
		}
	}
	columns := make([]arrow.Array, len(builders))
	for i, b := range builders {
		columns[i] = b.NewArray()
	}
	return columns, nil
}
