package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// plot is a picture of lines over one axis: numbers of rows.
type plot struct {
	name   string // of its file, without the ending
	title  string
	unit   string // of the values
	x      []float64
	series []series
}

// series is one line of a plot.
type series struct {
	name   string
	values []float64
}

// plotStandings draws time and peak memory of standings over what they are at.
func (r *report) plotStandings(name, title string, standings []standing) {
	seconds, peak := plot{name: name + "-time", title: title, unit: "seconds"}, plot{name: name + "-memory", title: title, unit: "MB peak"}
	for i, contender := range standings[0].names {
		t, m := series{name: contender}, series{name: contender}
		for _, s := range standings {
			t.values, m.values = append(t.values, s.figures[i].Seconds), append(m.values, float64(s.figures[i].Peak)/(1<<20))
		}
		seconds.series, peak.series = append(seconds.series, t), append(peak.series, m)
	}
	for _, s := range standings {
		seconds.x, peak.x = append(seconds.x, float64(s.x)), append(peak.x, float64(s.x))
	}
	r.plots = append(r.plots, seconds, peak)
}

// Pixels.
const (
	plotWidth, plotHeight = 640, 360
	plotLeft, plotRight   = 64, 120 // the right has the names of the lines
	plotTop, plotBottom   = 40, 44
)

// write writes the plot into a directory.
func (p plot) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, p.name+".svg"), []byte(p.svg()), 0o644)
}

// svg draws both axes from zero, so that a line that looks straight, or flat, is.
func (p plot) svg() string {
	var b strings.Builder
	draw := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	draw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#444">`, plotWidth, plotHeight)
	draw(`<rect width="100%%" height="100%%" fill="white"/>`)
	draw(`<text x="%d" y="20" font-size="14" fill="#111">%s (%s)</text>`, plotLeft, escape(p.title), escape(p.unit))
	top := 0.0
	for _, s := range p.series {
		for _, v := range s.values {
			top = max(top, v)
		}
	}
	step, right := niceStep(top), p.x[len(p.x)-1]
	top = step * math.Ceil(top/step)
	x := func(v float64) float64 { return plotLeft + v/right*(plotWidth-plotLeft-plotRight) }
	y := func(v float64) float64 { return plotHeight - plotBottom - v/top*(plotHeight-plotTop-plotBottom) }
	for v := 0.0; v <= top+step/2; v += step {
		draw(`<path d="M%d %.1fH%d" stroke="#ddd"/>`, plotLeft, y(v), plotWidth-plotRight)
		draw(`<text x="%d" y="%.1f" text-anchor="end">%.4g</text>`, plotLeft-6, y(v)+4, v)
	}
	last := math.Inf(-1)
	for _, v := range p.x {
		if x(v)-last > 30 { // else the numbers would lie on each other
			last = x(v)
			draw(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, last, plotHeight-plotBottom+18, rowsText(v))
		}
	}
	draw(`<text x="%.1f" y="%d" text-anchor="middle">rows</text>`, x(right/2), plotHeight-8)
	p.lines(draw, x, y)
	draw(`</svg>`)
	return b.String()
}

// lines draws the series, and their names where they end, moved apart where they would overlap.
func (p plot) lines(draw func(string, ...any), x, y func(float64) float64) {
	colours := []string{"#0b6e4f", "#c8553d", "#5b5f97", "#888"} // asof's first
	taken := map[int]bool{}
	for i, s := range p.series {
		colour, path := colours[i%len(colours)], "M"
		for j, v := range s.values {
			path += fmt.Sprintf("%.1f %.1f ", x(p.x[j]), y(v))
			draw(`<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, x(p.x[j]), y(v), colour)
		}
		draw(`<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, path, colour)
		const line = 14
		at := int(y(s.values[len(s.values)-1])) / line
		for taken[at] {
			at--
		}
		taken[at] = true
		draw(`<text x="%d" y="%d" fill="%s">%s</text>`, plotWidth-plotRight+8, at*line+8, colour, escape(s.name))
	}
}

// niceStep is 1, 2 or 5 times a power of ten, of which five or so make up v.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v/5)))
	for _, n := range []float64{1, 2, 5} {
		if v/(n*power) <= 6 {
			return n * power
		}
	}
	return 10 * power
}

func rowsText(v float64) string {
	if v >= million {
		return fmt.Sprintf("%.4g M", v/million)
	}
	return fmt.Sprintf("%.4g", v)
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
