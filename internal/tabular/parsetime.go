package tabular

import (
	"time"

	"github.com/asof-store/asof/feature"
)

// ParseTime reads an instant as a person or a program writes it: a date, or a date and a time of day with T or a space between
// them, seconds and their fraction optional, then Z, an offset (+02:00, +0200, +02) or nothing, which is UTC. Digits below
// the microsecond are dropped, so that the instant is rounded down. ok is false for everything else.
func ParseTime(s string) (t feature.Time, ok bool) {
	p := timeParser{rest: s}
	year, month, day := p.digits(4, 0, 9999), p.after('-', 1, 12), p.after('-', 1, 31)
	var hour, minute, second, micros int
	var offset int
	if !p.bad && p.rest != "" {
		if c := p.rest[0]; c != 'T' && c != 't' && c != ' ' {
			return 0, false
		}
		p.rest = p.rest[1:]
		hour, minute = p.digits(2, 0, 23), p.after(':', 0, 59)
		if p.at(':') {
			second = p.after(':', 0, 59)
			micros = p.fraction()
		}
		offset = p.zone()
	}
	if p.bad || p.rest != "" {
		return 0, false
	}
	date := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if date.Day() != day { // the 30th of February
		return 0, false
	}
	return feature.Time((date.Unix()-int64(offset))*1_000_000 + int64(micros)), true
}

// timeParser takes parts off the head of rest; the first that does not fit sets bad.
type timeParser struct {
	rest string
	bad  bool
}

func (p *timeParser) at(c byte) bool { return !p.bad && p.rest != "" && p.rest[0] == c }

// digits takes a number of n digits.
func (p *timeParser) digits(n, min, max int) int {
	if p.bad || len(p.rest) < n {
		p.bad = true
		return 0
	}
	v := 0
	for i := range n {
		c := p.rest[i]
		if c < '0' || c > '9' {
			p.bad = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	p.rest = p.rest[n:]
	p.bad = v < min || v > max
	return v
}

// after takes the separator c and a number of two digits.
func (p *timeParser) after(c byte, min, max int) int {
	if !p.at(c) {
		p.bad = true
		return 0
	}
	p.rest = p.rest[1:]
	return p.digits(2, min, max)
}

// fraction takes the fraction of a second, where there is one, and returns its microseconds.
func (p *timeParser) fraction() int {
	if !p.at('.') && !p.at(',') {
		return 0
	}
	p.rest = p.rest[1:]
	v, n := 0, 0
	for ; n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9'; n++ {
		if n < 6 {
			v = v*10 + int(p.rest[n]-'0')
		}
	}
	p.bad = p.bad || n == 0
	p.rest = p.rest[n:]
	for ; n < 6; n++ {
		v *= 10
	}
	return v
}

// zone takes the zone, where there is one, and returns the seconds by which it is ahead of UTC.
func (p *timeParser) zone() int {
	switch {
	case p.bad || p.rest == "":
		return 0
	case p.rest == "Z" || p.rest == "z":
		p.rest = ""
		return 0
	}
	sign := 1
	switch p.rest[0] {
	case '+':
	case '-':
		sign = -1
	default:
		p.bad = true
		return 0
	}
	p.rest = p.rest[1:]
	hours, minutes := p.digits(2, 0, 23), 0
	if p.at(':') {
		minutes = p.after(':', 0, 59)
	} else if p.rest != "" {
		minutes = p.digits(2, 0, 59)
	}
	return sign * (hours*3600 + minutes*60)
}
