package definitions

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
)

// durationMax is the longest duration that definitions may give, about a century.
const durationMax = 36_500 * day

const day = 24 * time.Hour

// unit is a unit of durations.
type unit struct {
	name string
	size time.Duration
}

// units lists the units from the greatest to the least, the order in which a duration gives them.
func units() []unit {
	return []unit{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
		{"ms", time.Millisecond}, {"us", time.Microsecond}}
}

// ParseDuration reads a duration as definitions write it: whole numbers of d, h, m, s, ms and us, each at most once and
// from the greatest to the least, as in "90s", "15m", "1d12h". A day is 24 hours. It fails with feature.ErrInvalid for any
// other text and beyond 36500d.
func ParseDuration(text string) (time.Duration, error) {
	invalid := func(why string) error {
		return feature.Errorf(feature.ErrInvalid, "%q is not a duration: %s", text, why)
	}
	if text == "" {
		return 0, invalid("write one such as 90s, 15m, 6h, 7d or 1d12h")
	}
	var total time.Duration
	left := units()
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		letters := digits + len(rest[digits:]) - len(strings.TrimLeft(rest[digits:], "dhmsu"))
		if digits == 0 || letters == digits {
			return 0, invalid("write whole numbers with units, such as 90s, 15m, 6h, 7d or 1d12h")
		}
		i := 0
		for i < len(left) && left[i].name != rest[digits:letters] {
			i++
		}
		if i == len(left) {
			return 0, invalid("the units are d, h, m, s, ms and us, each once and in this order")
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || n > math.MaxInt64/int64(left[i].size) || total+time.Duration(n)*left[i].size > durationMax ||
			total+time.Duration(n)*left[i].size < 0 {
			return 0, invalid("it is longer than 36500d")
		}
		total += time.Duration(n) * left[i].size
		left, rest = left[i+1:], rest[letters:]
	}
	return total, nil
}

// FormatDuration returns d as ParseDuration reads it, in as few units as it takes; what is below a microsecond is dropped.
func FormatDuration(d time.Duration) string {
	var b strings.Builder
	for _, u := range units() {
		if n := d / u.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d -= n * u.size
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}
