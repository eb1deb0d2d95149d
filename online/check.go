package online

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/asof-store/asof/feature"
)

// Finding is something in a store that is not as it should be.
type Finding struct {
	Where string // a file, or a view and perhaps a key of it
	What  string // what is wrong there, and what to do
	// Remark says that nothing is broken: the next publication puts it right.
	Remark bool
}

// adviceFull mends whatever is wrong in a store: its content can be made again.
const adviceFull = "run asof sync --full"

// Check derives again, from the stored bytes, all that holds in a store which is well, and reports what does not: checksums, encodings, that
// what belongs together is there, and that no value is newer than its view's state says. views are those that are defined; values
// of others are checked as far as that goes without a definition. It goes on after a finding. It may run beside readers and
// publications, and fails only where it cannot go on.
func (s *Store) Check(ctx context.Context, views []*feature.View, report func(Finding)) error {
	if err := s.kv.Check(ctx, report); err != nil {
		return err
	}
	c := &checker{ctx: ctx, report: report, views: map[string]*feature.View{}, states: map[uint32]checkedState{}, schemas: map[uint32]*layout{}, schemaOf: map[uint32]string{}}
	for _, v := range views {
		c.views[v.Name] = v
	}
	// What a rebuild has written lies beside what counts, without a state, until it is committed. One that begins from here on has greater ids.
	s.mu.Lock()
	c.staging, c.lastView, c.lastSchema = len(s.publishing) > 0, s.lastView, s.lastSchema
	s.mu.Unlock()
	return s.kv.View(func(r Reader) error {
		if err := r.Iterate(valuePrefix(0), nil, c.record); err != nil {
			return err
		}
		c.checkStates()
		return r.Iterate(nil, valuePrefix(1), c.value)
	})
}

// checker goes through a store from the first key to the last: first the records, then values.
type checker struct {
	ctx                  context.Context
	report               func(Finding)
	views                map[string]*feature.View
	staging              bool // a publication is under way
	lastView, lastSchema uint32

	format   bool                    // the store's record is there
	states   map[uint32]checkedState // by view id
	schemas  map[uint32]*layout
	schemaOf map[uint32]string // the view by schema id
	orphan   uint32            // the view id without a state that was reported last
}

type checkedState struct {
	State
	name   string
	view   *feature.View // nil where no view of that name, or one that was defined otherwise, is defined
	layout *layout       // nil where the schema is missing
}

// find reports a finding about what, which is in the online store.
func (c *checker) find(what, format string, args ...any) {
	c.report(Finding{Where: "online store: " + what, What: fmt.Sprintf(format, args...)})
}

// remark reports what is as it may be until the next publication.
func (c *checker) remark(what, format string, args ...any) {
	c.report(Finding{Where: "online store: " + what, What: fmt.Sprintf(format, args...), Remark: true})
}

// place says what a key is.
func (c *checker) place(key []byte) string {
	if len(key) < viewIDBytes {
		return fmt.Sprintf("key %x", key)
	}
	state, known := c.states[binary.BigEndian.Uint32(key)]
	if !known {
		return fmt.Sprintf("key %x", key)
	}
	entity := feature.Key(key[viewIDBytes:])
	if state.view != nil {
		if parts, err := feature.DecodeKey(entity, state.view.Keys); err == nil {
			return "view " + state.name + ", " + keyText(state.view.Keys, parts)
		}
	}
	return fmt.Sprintf("view %s, key %x", state.name, []byte(entity))
}

// record checks a record of view id 0.
func (c *checker) record(key, record []byte) (more bool, err error) {
	rest := key[viewIDBytes:]
	switch {
	case len(rest) == 1 && rest[0] == recordStore:
		c.format = true
		if err := decodeStore(record); err != nil {
			c.find("format record", "%v: %s", err, adviceFull)
		}
	case len(rest) > 1 && rest[0] == recordState:
		name := string(rest[1:])
		state, err := decodeState(name, record)
		if err != nil {
			c.find("view "+name, "%v: %s", err, adviceFull)
			return true, nil
		}
		if other, taken := c.states[state.ViewID]; taken {
			c.find("view "+name, "its values have id %d, which is that of view %s: %s", state.ViewID, other.name, adviceFull)
		}
		if other, taken := c.schemaOf[state.SchemaID]; taken {
			c.find("view "+name, "its schema has id %d, which is that of view %s: %s", state.SchemaID, other, adviceFull)
		}
		c.states[state.ViewID], c.schemaOf[state.SchemaID] = checkedState{State: state, name: name}, name
	case len(rest) == 5 && rest[0] == recordSchema:
		id := binary.BigEndian.Uint32(rest[1:])
		fields, err := decodeSchema(id, record)
		if err != nil {
			c.find(fmt.Sprintf("schema %d", id), "%v: %s", err, adviceFull)
			return true, nil
		}
		c.schemas[id] = newLayout(id, fields)
	default:
		c.stray(key)
	}
	return true, c.ctx.Err()
}

func (c *checker) stray(key []byte) {
	c.find(c.place(key), "asof writes no such key: %s", adviceFull)
}

// checkStates checks what the records say together.
func (c *checker) checkStates() {
	if !c.format {
		c.find("format record", "it is missing: %s", adviceFull)
	}
	for id, state := range c.states {
		where := "view " + state.name
		if state.layout = c.schemas[state.SchemaID]; state.layout == nil {
			c.find(where, "its schema %d is missing: %s", state.SchemaID, adviceFull)
		}
		if state.Unfinished {
			c.remark(where, "a publication has begun and was not committed, so values may be newer than its watermark %s: run asof sync", state.Watermark)
		}
		if state.Horizon > state.Watermark {
			c.find(where, "its horizon is %s, expected at most its watermark %s: %s", state.Horizon, state.Watermark, adviceFull)
		}
		if v := c.views[state.name]; v != nil && v.ServedHash() != state.Hash {
			c.remark(where, "its values are of definition %s, expected %s, that which was applied: run asof materialize %s", state.Hash, v.ServedHash(), state.name)
		} else if v != nil {
			state.view = v
			if state.layout != nil && !state.layout.has(v) {
				c.find(where, "its stored fields are %v, expected its features: %s", state.layout.fields, adviceFull)
			}
		}
		c.states[id] = state
	}
	for id := range c.schemas {
		if c.schemaOf[id] == "" && !c.staging && id <= c.lastSchema {
			c.find(fmt.Sprintf("schema %d", id), "no view has it: %s", adviceFull)
		}
	}
}

// value checks the value of an entity key.
func (c *checker) value(key, value []byte) (more bool, err error) {
	if err := c.ctx.Err(); err != nil {
		return false, err
	}
	if len(key) < viewIDBytes || binary.BigEndian.Uint32(key) > maxViewID {
		c.stray(key)
		return true, nil
	}
	id := binary.BigEndian.Uint32(key)
	state, known := c.states[id]
	if !known {
		if id != c.orphan && !c.staging && id <= c.lastView {
			c.orphan = id
			c.find(fmt.Sprintf("view id %d", id), "there are values, and no view has it: %s", adviceFull)
		}
		return true, nil
	}
	if state.layout == nil {
		return true, nil // reported with the state
	}
	where := c.place(key)
	if state.view != nil {
		if _, err := feature.DecodeKey(feature.Key(key[viewIDBytes:]), state.view.Keys); err != nil {
			c.find(where, "%v: %s", err, adviceFull)
		}
	}
	if fault := state.layout.fault(key, value); fault != "" {
		c.find(where, "%s: %s", fault, adviceFull)
		return true, nil
	}
	if at := stampOf(value); !state.Unfinished {
		if at.event > state.Horizon {
			c.find(where, "its event time is %s, expected at most the horizon %s: %s", at.event, state.Horizon, adviceFull)
		}
		if at.asOf > state.Watermark {
			c.find(where, "its as-of time is %s, expected at most the watermark %s: %s", at.asOf, state.Watermark, adviceFull)
		}
	}
	return true, nil
}

// keyText is a key as messages show it.
func keyText(fields []feature.Field, parts []any) string {
	if len(fields) == 0 {
		return "the key of all rows"
	}
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = fmt.Sprintf("%s=%v", f.Name, parts[i])
	}
	return "key " + strings.Join(texts, ", ")
}
