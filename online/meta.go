package online

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/asof-store/asof/feature"
)

// The keys of the metadata: view id 0, then the kind of the record, then its name.
const (
	storeVersion  = 1
	recordVersion = 1

	recordStore  = 0 // one record: the version of the store's format
	recordState  = 1 // then the view's name
	recordSchema = 2 // then the schema id, big-endian

	viewIDBytes = 4
	// maxViewID keeps clear of keys that Badger has for itself, which begin with "!badger!".
	maxViewID = 1 << 24
	// maxKeyBytes is what Badger takes, 65000 bytes, without the view id.
	maxKeyBytes = 65000 - viewIDBytes

	stateUnfinished = 1
)

// State is what the store knows of a published view. The caller gives the fields that tell what was published; they
// come back as they were committed.
type State struct {
	// ViewID and SchemaID are the store's own; Commit fills them in.
	ViewID   uint32
	SchemaID uint32
	// Hash is feature.View.ServedHash.
	Hash string
	// Watermark is the as-of time for which the values are the answer, Horizon the last event time that was visible then.
	Watermark feature.Time
	Horizon   feature.Time
	// Snapshot is the offline snapshot that the values come from.
	Snapshot int64
	// Unfinished tells that a later publication in place has begun to write values and was never committed: some
	// values may be newer than the rest of the state says. A publication that rebuilds, or one that replaces every key
	// which the unfinished one can have written, puts it right.
	Unfinished bool
	// UnderWay tells of an unfinished publication that this process is at it. It is not stored; Store.State alone finds it out.
	UnderWay bool
}

func storeKey() []byte { return []byte{0, 0, 0, 0, recordStore} }

func stateKey(view string) []byte {
	return append([]byte{0, 0, 0, 0, recordState}, view...)
}

func schemaKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0, recordSchema}, id)
}

// valuePrefix is the beginning of the keys of a view's values.
func valuePrefix(viewID uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, viewID)
}

// sealRecord appends the checksum of key and record to record.
func sealRecord(key, record []byte) []byte {
	return binary.LittleEndian.AppendUint32(record, recordChecksum(key, record))
}

func recordChecksum(key, record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, key), table, record)
}

// openRecord checks version and checksum of a record and returns what lies between them.
func openRecord(what string, key, record []byte) ([]byte, error) {
	if len(record) < 5 {
		return nil, feature.Errorf(feature.ErrCorrupt, "online store: %s has only %d bytes", what, len(record))
	}
	body, sum := record[:len(record)-4], record[len(record)-4:]
	if binary.LittleEndian.Uint32(sum) != recordChecksum(key, body) {
		return nil, feature.Errorf(feature.ErrCorrupt, "online store: the checksum of %s does not match", what)
	}
	if body[0] != recordVersion {
		return nil, feature.Errorf(feature.ErrInvalid, "online store: %s has format version %d, this asof reads %d: use the asof that wrote it, or a new directory", what, body[0], recordVersion)
	}
	return body[1:], nil
}

func encodeStore() []byte {
	return sealRecord(storeKey(), []byte{recordVersion, storeVersion})
}

func decodeStore(record []byte) error {
	body, err := openRecord("the store's format record", storeKey(), record)
	if err != nil {
		return err
	}
	if len(body) != 1 || body[0] != storeVersion {
		return feature.Errorf(feature.ErrInvalid, "online store: its format is %x, this asof reads %d: use the asof that wrote it, or a new directory", body, storeVersion)
	}
	return nil
}

func encodeState(view string, s State) ([]byte, error) {
	if len(s.Hash) > math.MaxUint16 {
		return nil, feature.Errorf(feature.ErrInternal, "online store: the definition hash of view %s has %d bytes", view, len(s.Hash))
	}
	order := binary.LittleEndian
	b := []byte{recordVersion, 0}
	if s.Unfinished {
		b[1] = stateUnfinished
	}
	b = order.AppendUint32(b, s.ViewID)
	b = order.AppendUint32(b, s.SchemaID)
	b = order.AppendUint64(b, uint64(s.Watermark))
	b = order.AppendUint64(b, uint64(s.Horizon))
	b = order.AppendUint64(b, uint64(s.Snapshot))
	b = order.AppendUint16(b, uint16(len(s.Hash)))
	return sealRecord(stateKey(view), append(b, s.Hash...)), nil
}

func decodeState(view string, record []byte) (State, error) {
	const head = 1 + 4 + 4 + 8 + 8 + 8 + 2
	b, err := openRecord("the state of view "+view, stateKey(view), record)
	if err != nil {
		return State{}, err
	}
	order := binary.LittleEndian
	if len(b) < head || len(b) != head+int(order.Uint16(b[head-2:])) || b[0]&^stateUnfinished != 0 {
		return State{}, feature.Errorf(feature.ErrCorrupt, "online store: the state of view %s is malformed", view)
	}
	s := State{
		Unfinished: b[0]&stateUnfinished != 0,
		ViewID:     order.Uint32(b[1:]), SchemaID: order.Uint32(b[5:]),
		Watermark: timeAt(b, 9), Horizon: timeAt(b, 17), Snapshot: int64(order.Uint64(b[25:])),
		Hash: string(b[head:]),
	}
	if s.ViewID == 0 || s.ViewID > maxViewID {
		return State{}, feature.Errorf(feature.ErrCorrupt, "online store: the state of view %s points to view id %d", view, s.ViewID)
	}
	return s, nil
}

func encodeSchema(id uint32, fields []feature.Field) ([]byte, error) {
	if len(fields) > math.MaxUint16 {
		return nil, feature.Errorf(feature.ErrInvalid, "online store: a view of %d features is more than %d", len(fields), math.MaxUint16)
	}
	order := binary.LittleEndian
	b := order.AppendUint16([]byte{recordVersion}, uint16(len(fields)))
	for _, f := range fields {
		if len(f.Name) > math.MaxUint16 {
			return nil, feature.Errorf(feature.ErrInvalid, "online store: a feature name of %d bytes is longer than %d", len(f.Name), math.MaxUint16)
		}
		list := byte(0)
		if f.Type.List {
			list = 1
		}
		b = append(b, byte(f.Type.Kind), list)
		b = order.AppendUint16(b, uint16(len(f.Name)))
		b = append(b, f.Name...)
	}
	return sealRecord(schemaKey(id), b), nil
}

func decodeSchema(id uint32, record []byte) ([]feature.Field, error) {
	b, err := openRecord("a schema", schemaKey(id), record)
	if err != nil {
		return nil, err
	}
	malformed := feature.Errorf(feature.ErrCorrupt, "online store: schema %d is malformed", id)
	if len(b) < 2 {
		return nil, malformed
	}
	order := binary.LittleEndian
	n, b := int(order.Uint16(b)), b[2:]
	fields := make([]feature.Field, 0, min(n, len(b)/4))
	for range n {
		if len(b) < 4 {
			return nil, malformed
		}
		kind, list, name := feature.Kind(b[0]), b[1], int(order.Uint16(b[2:]))
		if kind < feature.Bool || kind > feature.Timestamp || list > 1 || len(b) < 4+name {
			return nil, malformed
		}
		fields = append(fields, feature.Field{Name: string(b[4 : 4+name]), Type: feature.Type{Kind: kind, List: list == 1}})
		b = b[4+name:]
	}
	if len(b) > 0 {
		return nil, malformed
	}
	return fields, nil
}
