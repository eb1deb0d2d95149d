package definitions

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "15m": 15 * time.Minute, "6h": 6 * time.Hour, "7d": 7 * day,
		"1d12h": 36 * time.Hour, "5ms": 5 * time.Millisecond, "1s7us": time.Second + 7*time.Microsecond, "0s": 0, "36500d": durationMax} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "s", "1w", "1.5h", "-1s", "+1s", "1s1m", "1m1m", "1 d", "1d ", "36500d1us", "9223372036854775807us1", "٣s", "1ns", "99999999999d"} {
		if got, err := ParseDuration(text); feature.KindOf(err) != feature.ErrInvalid || err == nil {
			t.Errorf("ParseDuration(%q) = %v, %v; want an error", text, got, err)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(durationMax/time.Microsecond)).Draw(t, "us")) * time.Microsecond
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%v is written %q, which reads as %v, %v", d, FormatDuration(d), got, err)
		}
		if !durationShape().matches(FormatDuration(d)) {
			t.Fatalf("the table refuses %q", FormatDuration(d))
		}
	})
}

func TestSchedule(t *testing.T) {
	from := time.Date(2024, 3, 30, 23, 50, 0, 0, time.FixedZone("somewhere", 3600)) // 22:50 UTC, the day before clocks change
	for text, want := range map[string]string{
		"*/15 * * * *":                       "2024-03-30T23:00:00Z",
		"@daily":                             "2024-03-31T00:00:00Z",
		"@every 6h":                          "2024-03-31T00:00:00Z",
		"@every 7s":                          "2024-03-30T22:50:03Z", // 1711839003 = 7 * 244548429
		"@every 2d":                          "2024-04-01T00:00:00Z",
		"0 0 29 2 *":                         "2028-02-29T00:00:00Z",
		"CRON_TZ=Europe/Berlin 30 2 * * *":   "2024-04-01T00:30:00Z", // 02:30 does not exist on the 31st
		"CRON_TZ=Europe/Berlin 0 4 * * *":    "2024-03-31T02:00:00Z",
		"CRON_TZ=America/New_York @midnight": "2024-03-31T04:00:00Z",
		"CRON_TZ=UTC 0 0 * * mon-fri":        "2024-04-01T00:00:00Z",
	} {
		s, err := ParseSchedule(text)
		if err != nil {
			t.Errorf("ParseSchedule(%q): %v", text, err)
			continue
		}
		if got := s.Next(from).Format(time.RFC3339); got != want {
			t.Errorf("%q after %s ticks at %s, want %s", text, from, got, want)
		}
	}
}

// TestScheduleEvery: the ticks are the multiples of the duration since 1970, before it too.
func TestScheduleEvery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.Int64Range(1, 1_000_000).Draw(t, "seconds")
		s, err := ParseSchedule("@every " + FormatDuration(time.Duration(every)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		from := time.UnixMicro(rapid.Int64Range(-1e15, 1e15).Draw(t, "from"))
		next := s.Next(from)
		if !next.After(from) || next.Sub(from) > time.Duration(every)*time.Second || next.Nanosecond() != 0 || next.Unix()%every != 0 {
			t.Fatalf("every %d s after %s ticks at %s", every, from.UTC(), next)
		}
	})
}

// FuzzSchedule: no text makes the cron parser panic or a schedule that stands still.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"TZ=0", "CRON_TZ=", "CRON_TZ=UTC", "0 0 31 2 *", "@every 0s", "@every 1h", "* * * * *", "CRON_TZ=Asia/Tokyo 1-5/2 * * * sun", "*/0 * * * *",
		"CRON_TZ=UTC @every 0s", "CRON_TZ=UTC  @every 15m", "@every 1000d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		from := time.Date(2024, 2, 28, 12, 0, 0, 0, time.UTC)
		for range 3 {
			next := s.Next(from)
			if next.IsZero() {
				return
			}
			if !next.After(from) {
				t.Fatalf("%q: %s comes after %s", text, next, from)
			}
			if again := s.Next(next.Add(-time.Microsecond)); !again.Equal(next) {
				t.Fatalf("%q ticks at %s, and at %s when it is asked just before that", text, next, again)
			}
			from = next
		}
	})
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		text, typ string
		want      any
	}{
		{"true", "bool", true}, {"7", "int32", int32(7)}, {"0x10", "int64", int64(16)}, {"-9223372036854775808", "int64", int64(math.MinInt64)},
		{"1", "float64", 1.0}, {"1e3", "float64", 1000.0}, {".inf", "float32", float32(math.Inf(1))}, {"0.1", "float32", float32(0.1)},
		{"none", "string", "none"}, {`"5"`, "string", "5"}, {"2024-01-01", "string", "2024-01-01"},
		{"hi", "bytes", []byte("hi")}, {"!!binary aGk=", "bytes", []byte("hi")},
		{"2024-01-01", "timestamp", feature.Time(1704067200000000)}, {"2024-01-01T01:00:00.5+01:00", "timestamp", feature.Time(1704067200500000)},
		{"[]", "list<int64>", []int64{}}, {"[1, 2]", "list<float32>", []float32{1, 2}}, {"[a]", "list<string>", []string{"a"}},
		{"[true]", "list<bool>", []bool{true}}, {"[1]", "list<int32>", []int32{1}}, {"[1.5]", "list<float64>", []float64{1.5}},
		{"[a]", "list<bytes>", [][]byte{[]byte("a")}}, {"[2024-01-01]", "list<timestamp>", []feature.Time{1704067200000000}},
		{"~", "int64", nil},
	} {
		got, misfit := parseText(t, c.text, c.typ)
		if diff := cmp.Diff(c.want, got); misfit != nil || diff != "" {
			t.Errorf("%s as %s: %v (-want +got)\n%s", c.text, c.typ, misfit, diff)
		}
	}
	for _, c := range [][2]string{{"yes", "bool"}, {"1", "bool"}, {"2147483648", "int32"}, {"9223372036854775808", "int64"}, {"1.0", "int64"},
		{"'1'", "int64"}, {"1e39", "float32"}, {"x", "float64"}, {"5", "string"}, {"true", "string"}, {"5", "bytes"}, {"!!binary '*'", "bytes"},
		{"soon", "timestamp"}, {"2024-01-01T00:00:00.0000001Z", "timestamp"}, {"1", "list<int64>"}, {"[1]", "int64"}, {"[a]", "list<int64>"}, {"{a: 1}", "string"}} {
		if got, misfit := parseText(t, c[0], c[1]); misfit == nil {
			t.Errorf("%s as %s gives %v, want an error", c[0], c[1], got)
		}
	}
}

func parseText(t *testing.T, text, typ string) (any, *misfit) {
	t.Helper()
	var n yaml.Node
	if err := yaml.Load([]byte(text), &n); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	want, err := feature.ParseType(typ)
	if err != nil {
		t.Fatal(err)
	}
	return parseDefault(n.Content[0], want)
}

func TestFormatDefault(t *testing.T) {
	for want, v := range map[string]any{"": nil, `"a"`: "a", "true": true, "7": int64(7), "8": int32(8), "0.5": 0.5, "0.1": float32(0.1), "!!binary aGk=": []byte("hi"),
		"2024-01-01T00:00:00Z": feature.Time(1704067200000000), "[1, 2]": []int64{1, 2}, `["a"]`: []string{"a"}, "[]": []bool{}} {
		if got := formatDefault(v); got != want {
			t.Errorf("formatDefault(%v) = %s, want %s", v, got, want)
		}
	}
}

// TestPlace: a fault in an expression is reported where its character stands in the file, however YAML wraps it.
func TestPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,6}`), 1, 8).Draw(t, "words")
		target := rapid.IntRange(0, len(words)-1).Draw(t, "target")
		words[target] = "Zebra"
		style := rapid.SampledFrom([]string{"plain", "'", `"`, "|", ">", ">-"}).Draw(t, "style")
		text := "a: " + strings.Join(words, " ")
		switch style {
		case "'", `"`:
			text = "a:   " + style + strings.Join(words, rapid.SampledFrom([]string{" ", "\n   "}).Draw(t, "break")) + style
		case "|", ">", ">-":
			text = "b: 1\na: " + style + "\n   " + strings.Join(words, rapid.SampledFrom([]string{" ", "\n   ", "\n\n   "}).Draw(t, "break"))
		}
		f, fault := parseFile("f", text)
		if fault != nil {
			t.Fatal(fault)
		}
		n := object{node: f.docs[0]}.node.Content
		value := n[len(n)-1]
		before := value.Value[:strings.Index(value.Value, "Zebra")]
		line, column := f.place(value, 1+strings.Count(before, "\n"), len(before)-strings.LastIndex(before, "\n"))
		lines := strings.Split(text, "\n")
		if line > len(lines) || !strings.HasPrefix(at(lines[line-1], column), "Zebra") {
			t.Fatalf("%q: placed at %d:%d", text, line, column)
		}
	})
}
