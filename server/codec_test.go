package server

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// TestCodecAgreesWithReflection: what the codec makes of any answer is what protobuf makes of it, whatever fields answers have.
func TestCodecAgreesWithReflection(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want, got := &asofv1.GetFeaturesResponse{}, &asofv1.GetFeaturesResponse{}
		drawMessage(t, want.ProtoReflect(), 0)
		data, err := c.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		defer data.Free()
		if data.Len() != proto.Size(want) {
			t.Fatalf("%d bytes, protobuf takes %d", data.Len(), proto.Size(want))
		}
		if err := c.Unmarshal(data, got); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(want, got) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// drawMessage sets fields of m, each or not, and of alternatives each as often as the others.
func drawMessage(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch name := string(f.Name()); {
		case f.ContainingOneof() != nil && rapid.IntRange(0, f.ContainingOneof().Fields().Len()-1-f.Index()).Draw(t, name+" passed over") > 0:
		case f.ContainingOneof() != nil && m.WhichOneof(f.ContainingOneof()) != nil:
		case rapid.IntRange(0, 3).Draw(t, name+" not set") == 0 || depth > 5:
		case f.IsList():
			list := m.Mutable(f).List()
			for range rapid.IntRange(0, 40).Draw(t, name+" length") {
				if f.Message() != nil {
					drawMessage(t, list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(drawScalar(t, f))
				}
			}
		case f.Message() != nil:
			drawMessage(t, m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, drawScalar(t, f))
		}
	}
}

func drawScalar(t *rapid.T, f protoreflect.FieldDescriptor) protoreflect.Value {
	name := string(f.Name())
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, name))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, name))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, name))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32().Draw(t, name))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64().Draw(t, name))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringN(0, 300, -1).Draw(t, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name))
	}
	t.Fatalf("a field of kind %s: draw it too", f.Kind())
	return protoreflect.Value{}
}

// TestCodecOfTexts: bytes that are no text are refused as protobuf refuses them.
func TestCodecOfTexts(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	values := &asofv1.Values{Kind: &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: []string{"\xff"}}}}
	r := &asofv1.GetFeaturesResponse{Columns: []*asofv1.FeatureColumn{{Values: values}}}
	if _, err := c.Marshal(r); err == nil {
		t.Error("no error of a text that is none")
	}
}
