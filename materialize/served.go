package materialize

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// Served is what is served online: by the store of this process, or by a server that holds it.
type Served interface {
	// State returns how far view is published; known is false where it never was.
	State(ctx context.Context, view *feature.View) (state online.State, known bool, err error)
	// Get returns what is served now of view's features, given by their indices, for so many keys, the columns of whose parts are given.
	Get(ctx context.Context, view *feature.View, features []int, keys []arrow.Array, rows int) ([]*online.Column, error)
}

// Serves returns what the engine's own online store serves.
func (e *Engine) Serves() Served { return ownStore{e} }

// ownStore is what the online store of an engine serves.
type ownStore struct{ e *Engine }

func (s ownStore) State(_ context.Context, view *feature.View) (online.State, bool, error) {
	return s.e.Online.State(view.Name)
}

func (s ownStore) Get(ctx context.Context, view *feature.View, features []int, keys []arrow.Array, rows int) ([]*online.Column, error) {
	return s.e.Online.Get(ctx, view, features, encodeKeys(keys, rows), feature.TimeOf(s.e.now()))
}

// encodeKeys returns keys, the columns of whose parts are given, in their byte form; nil where a part is NULL.
func encodeKeys(parts []arrow.Array, rows int) []feature.Key {
	keys := make([]feature.Key, rows)
	for i := range keys {
		key, whole := feature.Key{}, true
		for _, part := range parts {
			var ok bool
			key, ok = feature.AppendKeyPart(key, part, i)
			whole = whole && ok
		}
		if whole {
			keys[i] = key
		}
	}
	return keys
}

// checkServed says what keeps the values that are served from being those of view's history; nil where nothing does.
func checkServed(view *feature.View, state online.State, known bool) error {
	switch {
	case !known:
		return feature.Errorf(feature.ErrNotFound, "view %s has never been published: run asof materialize %s", view.Name, view.Name)
	case state.UnderWay:
		return feature.Errorf(feature.ErrConflict, "view %s is being published: try again when that has ended", view.Name)
	case state.Unfinished:
		return feature.Errorf(feature.ErrUnavailable, "view %s: its last publication was interrupted, or is under way: try again, or run asof sync", view.Name)
	case state.Hash != view.ServedHash() || state.Horizon != view.Horizon(state.Watermark):
		return feature.Errorf(feature.ErrUnavailable, "view %s: its definition has changed since it was published: run asof materialize %s", view.Name, view.Name)
	}
	return nil
}

// publishedTries is how often values are read again because their view was published meanwhile.
const publishedTries = 5

// getPublished gets what is served of keys together with the state of publication that it is of, which has been the same before and
// after. It fails with the error of [checkServed], and with ErrConflict where every try met a publication.
func getPublished(ctx context.Context, served Served, view *feature.View, features []int, keys []arrow.Array, rows int) (online.State, []*online.Column, error) {
	for range publishedTries {
		before, known, err := served.State(ctx, view)
		if err == nil {
			err = checkServed(view, before, known)
		}
		if err != nil {
			return before, nil, err
		}
		columns, err := served.Get(ctx, view, features, keys, rows)
		if err != nil {
			return before, nil, err
		}
		after, _, err := served.State(ctx, view)
		if err != nil {
			return before, nil, err
		}
		if before == after {
			return before, columns, nil
		}
	}
	return online.State{}, nil, feature.Errorf(feature.ErrConflict, "view %s is published again and again while it is read: try it again", view.Name)
}

// agree reports whether what is served, in row i of a column, is what training gives: row j of the answer's feature f. What has expired
// since, by the clock of those who serve it, is known by its event time alone. Values are compared as text gives them.
func agree(view *feature.View, served *online.Column, i int, a *pointintime.Answer, f, j int, text func(arrow.Array, int) string) bool {
	if served.Found[i] != a.Found(j) || served.Found[i] && served.EventTimes[i] != a.EventTimes[j] {
		return false
	}
	if served.Statuses[i] == feature.Expired {
		return view.TTL > 0
	}
	return sameValue(served.Values(), i, a.Columns[f].Values, j, text)
}
