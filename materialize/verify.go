package materialize

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// VerifyRequest says what to verify. The zero value compares all keys.
type VerifyRequest struct {
	Sample int    // so many keys of the history, drawn at random; 0: all of them, and all that are online
	Seed   uint64 // of the draw
}

// Verification is the comparison of a view's online values with what training would see.
type Verification struct {
	View      string
	Watermark feature.Time // as of which the online values are
	Snapshot  int64        // of the history that they come from
	Keys      int64        // that were compared
	Equal     int64
	Different int64 // with some other value or event time online
	Missing   int64 // not online
	Extra     int64 // online, and not in the history; looked for where all keys are compared
	// Differences are the first of them, at most DifferencesMax.
	Differences []Difference
}

// DifferencesMax is how many differences a [Verification] keeps.
const DifferencesMax = 20

// Difference is a value that is not the same online as offline.
type Difference struct {
	Key             string // as feature.KeyText gives it
	Feature         string // "" where the key is on one side alone
	Online, Offline string // the values, as text
	// The event times that they come from; feature.MinTime where there is none.
	OnlineEvent, OfflineEvent feature.Time
}

// OK reports whether nothing differs.
func (v *Verification) OK() bool { return v.Different == 0 && v.Missing == 0 && v.Extra == 0 }

// Verify compares the online values of view with the point-in-time join at the online watermark, value by value, to the bit. It fails
// with ErrNotFound for a view that was never published or whose snapshot is gone, and with ErrUnavailable where online is known to be
// behind: a publication was interrupted, or the definition has changed since.
func (e *Engine) Verify(ctx context.Context, view *feature.View, r VerifyRequest) (v Verification, err error) {
	v.View = view.Name
	state, known, err := e.Online.State(view.Name)
	switch {
	case err != nil:
		return v, err
	case !known:
		return v, feature.Errorf(feature.ErrNotFound, "view %s has never been published: run asof materialize %s", view.Name, view.Name)
	case state.Unfinished:
		return v, feature.Errorf(feature.ErrUnavailable, "view %s: its last publication was interrupted: run asof sync", view.Name)
	case state.Hash != view.ServedHash() || state.Horizon != view.Horizon(state.Watermark):
		return v, feature.Errorf(feature.ErrUnavailable, "view %s: its definition has changed since it was published: run asof materialize %s", view.Name, view.Name)
	}
	v.Watermark, v.Snapshot = state.Watermark, state.Snapshot
	snapshot, err := e.Offline.SnapshotAt(ctx, view.Name, state.Snapshot)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	runs, err := runsOf(ctx, snapshot)
	if err != nil {
		return v, err
	}
	c := &verifier{e: e, view: rawView(view), runs: runs, v: &v}
	visible := []feature.Range{{From: feature.MinTime, To: state.Horizon}}
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
	if err := pointintime.Keys(ctx, view, runs, visible, publishKeys, func(keys []arrow.Array, rows int) error {
		keys, rows = draw(keys, rows)
		bar.Add(int64(rows))
		return c.compare(ctx, keys, rows)
	}); err != nil {
		return v, err
	}
	if r.Sample <= 0 {
		if err := c.extra(ctx); err != nil {
			return v, err
		}
	}
	if now, _, err := e.Online.State(view.Name); err != nil || now != state {
		return v, errors.Join(err, feature.Errorf(feature.ErrConflict, "view %s has been published while it was verified: verify it again", view.Name))
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
	e    *Engine
	view *feature.View // as it is stored online
	runs []pointintime.Run
	v    *Verification
}

// offline returns what training would see for keys at the watermark.
func (c *verifier) offline(ctx context.Context, keys []arrow.Array, rows int) (*pointintime.Answer, error) {
	q := pointintime.Question{View: c.view, Keys: keys, Times: timesOf(c.v.Watermark, rows)}
	for i := range c.view.Features {
		q.Features = append(q.Features, i)
	}
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
	offline, err := c.offline(ctx, keys, rows)
	if err != nil {
		return err
	}
	ref := feature.Ref{View: c.view}
	columns := map[string]arrow.Array{}
	for i, k := range c.view.Keys {
		ref.KeyColumns, columns[k.Name] = append(ref.KeyColumns, k.Name), keys[i]
	}
	for i := range c.view.Features {
		ref.Features = append(ref.Features, i)
	}
	served, err := c.e.Online.Lookup(ctx, &feature.Service{Name: c.view.Name, Refs: []feature.Ref{ref}}, columns, c.v.Watermark, false)
	if err != nil {
		return err
	}
	c.v.Keys += int64(rows)
	for i := range rows {
		switch key := feature.KeyText(c.view.Keys, keys, i); {
		case !served.Columns[0].Found[i]:
			c.v.Missing++
			c.note(Difference{Key: key, Online: "no such key", Offline: "has values", OnlineEvent: feature.MinTime, OfflineEvent: offline.EventTimes[i]})
		case c.differ(key, served, offline, i):
			c.v.Different++
		default:
			c.v.Equal++
		}
	}
	return nil
}

// differ notes what differs in row i.
func (c *verifier) differ(key string, served *online.Answer, offline *pointintime.Answer, i int) (different bool) {
	for f, column := range served.Columns {
		is, want := valueText(column.Values, i), valueText(offline.Columns[f].Values, i)
		if is == want && column.EventTimes[i] == offline.EventTimes[i] {
			continue
		}
		different = true
		c.note(Difference{Key: key, Feature: column.Name, Online: is, Offline: want, OnlineEvent: column.EventTimes[i], OfflineEvent: offline.EventTimes[i]})
	}
	return different
}

func (c *verifier) note(d Difference) {
	if len(c.v.Differences) < DifferencesMax {
		c.v.Differences = append(c.v.Differences, d)
	}
}

// valueText shows a value so that two look alike only if they are the same.
func valueText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "NULL"
	}
	return column.ValueStr(i)
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
		for i, found := range offline.Found {
			if !found {
				c.v.Extra++
				c.note(Difference{Key: feature.KeyText(c.view.Keys, keys, i), Online: "has values", Offline: "no such key", OnlineEvent: feature.MinTime, OfflineEvent: feature.MinTime})
			}
		}
		held = held[:0]
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
