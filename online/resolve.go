package online

import (
	"maps"

	"github.com/asof-store/asof/feature"
)

// resolved is where the values of a view are.
type resolved struct {
	state  State
	layout *layout
}

// resolvedMax bounds the views that are remembered: far above what one server serves.
const resolvedMax = 4096

// remembered is what lookups have found out about views. It is replaced as a whole, and never changed.
//
// A lookup may go by it if it is the same before the lookup's snapshot is taken and afterwards. For it is forgotten each time that a state
// has been written, and before values that no state points to any more are removed: as long as it has not been forgotten, the values that it points to are
// in every snapshot, and those that a newer state points to have not been announced by any Commit yet.
type remembered struct{ views map[*feature.View]resolved }

// forget makes lookups read the states of views again.
func (s *Store) forget() { s.remembered.Store(&remembered{}) }

// remember adds a view to what was remembered when the lookup began. What has been forgotten meanwhile stays so.
func (s *Store) remember(before *remembered, view *feature.View, r resolved) *remembered {
	if len(before.views) >= resolvedMax {
		return before
	}
	after := &remembered{views: maps.Clone(before.views)}
	if after.views == nil {
		after.views = map[*feature.View]resolved{}
	}
	after.views[view] = r
	if !s.remembered.CompareAndSwap(before, after) {
		return before
	}
	return after
}

// resolve finds the states and layouts of the views that questions ask for.
func (s *Store) resolve(r Reader, before *remembered, questions []question) error {
	current := s.remembered.Load()
	if current != before {
		current = &remembered{} // of another snapshot, perhaps
	}
	for i := range questions {
		q := &questions[i]
		if !q.view.Online {
			return notOnline(q.view.Name)
		}
		if known, is := current.views[q.view]; is {
			q.state, q.layout = known.state, known.layout
			continue
		}
		state, known, err := readState(r, q.view.Name)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		l, err := s.layout(r, state.SchemaID)
		if err != nil {
			return err
		}
		if state.Hash != q.view.ServedHash() {
			return &RedefinedError{View: q.view.Name}
		}
		q.state, q.layout = state, l
		current = s.remember(current, q.view, resolved{state, l})
	}
	return nil
}
