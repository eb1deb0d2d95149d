package definitions

import "encoding/json"

// Schema returns the JSON Schema (draft 2020-12) of a definitions file, for completion and checking in editors. It
// is printed from the table that Load checks files against; what only the whole of the definitions and the data can
// tell (names, column types, expressions) is Load's alone.
func Schema() []byte {
	root := fileShape().schema()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "asof feature definitions"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("definitions: the schema holds texts, numbers, lists and maps alone: " + err.Error())
	}
	return append(text, '\n')
}

// schema returns the JSON Schema of s.
func (s *shape) schema() map[string]any {
	out := map[string]any{}
	kinds := []string{}
	switch s.kind {
	case textShape:
		kinds = append(kinds, "string")
		s.textSchema(out)
	case flagShape:
		kinds = append(kinds, "boolean")
	case scalarShape:
		kinds = append(kinds, "string", "number", "boolean")
	case valueShape:
		kinds = append(kinds, "string", "number", "boolean", "array", "null")
		out["items"] = map[string]any{"type": []string{"string", "number", "boolean"}}
	case numberShape:
		kinds = append(kinds, "number")
	case numbersShape:
		kinds = append(kinds, "number", "array")
		out["items"], out["minItems"] = map[string]any{"type": "number"}, s.itemsMin
	case listShape:
		kinds = append(kinds, "array")
		out["items"] = s.item.schema()
		if s.itemsMin > 0 {
			out["minItems"] = s.itemsMin
		}
	case dictShape:
		kinds = append(kinds, "object")
		out["propertyNames"] = s.key.schema()
		out["additionalProperties"] = s.item.schema()
	case recordShape:
		kinds = append(kinds, "object")
		s.recordSchema(out)
	}
	if s.nullable {
		kinds = append(kinds, "null")
	}
	out["type"] = kinds
	if len(kinds) == 1 {
		out["type"] = kinds[0]
	}
	return out
}

func (s *shape) textSchema(out map[string]any) {
	if len(s.options) > 0 {
		out["enum"] = s.options
		return
	}
	out["minLength"] = 1
	if s.pattern != "" {
		out["pattern"] = s.pattern
	}
	if s.bytesMax > 0 {
		out["maxLength"] = s.bytesMax
	}
}

func (s *shape) recordSchema(out map[string]any) {
	properties, required := map[string]any{}, []string{}
	for _, f := range s.fields {
		p := f.shape.schema()
		p["description"] = f.doc
		properties[f.name] = p
		if f.required {
			required = append(required, f.name)
		}
	}
	out["properties"] = properties
	out["additionalProperties"] = false
	if len(required) > 0 {
		out["required"] = required
	}
	if s.exclusive[0] != "" {
		out["not"] = map[string]any{"required": s.exclusive[:]}
	}
	if s.either {
		out["anyOf"] = []any{map[string]any{"required": s.exclusive[:1]}, map[string]any{"required": s.exclusive[1:]}}
	}
}
