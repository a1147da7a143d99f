package probe

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"time"
)

// The picture's measures, in its own units.
const (
	svgWidth, svgHeight   = 1000.0, 500.0
	plotLeft, plotRight   = 64.0, 984.0
	lanesTop, laneHeight  = 66.0, 14.0 // room for labels above the plots
	lanes                 = 5
	rateTop, rateBottom   = 142.0, 262.0
	delayTop, delayBottom = 292.0, 432.0
	gapLabels             = 12 // the longest gaps that are labelled
	maxColumns            = 460
)

// SVG draws the run as one self-contained picture: acknowledgements per second by
// server, slowest insert over time, gaps shaded with their lengths, marks as lines.
func (r *Result) SVG(w io.Writer) error {
	d := &drawing{result: r, end: max(float64(r.Length), 1)}
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11" fill="#333">`, svgWidth, svgHeight)
	d.printf(`<title>Writes as clients saw them</title>`)
	d.printf(`<rect width="%g" height="%g" fill="#fff"/>`, svgWidth, svgHeight)
	d.printf(`<text x="%g" y="24" font-size="16" font-weight="bold">Writes as clients saw them</text>`, plotLeft)
	d.printf(`<text x="%g" y="44">longest gap %s · %d acknowledged · %s</text>`, plotLeft, r.Longest.Length, r.Acked, html.EscapeString(r.Verdict()))
	d.timeAxis()
	d.bars()
	d.dots()
	d.labels()
	d.legend()
	d.printf("</svg>")
	_, err := w.Write(d.Bytes())
	return err
}

type drawing struct {
	bytes.Buffer
	result *Result
	end    float64 // of the run, as Millis
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) x(m Millis) float64 {
	return plotLeft + (plotRight-plotLeft)*min(max(float64(m)/d.end, 0), 1)
}

// colour is that of the reign at place i; the first four differ.
func colour(i int) string {
	return []string{"#2b6cb0", "#2f855a", "#b7791f", "#6b46c1"}[i%4]
}

func (d *drawing) text(x, y float64, anchor, fill, s string) {
	d.printf(`<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`, x, y, anchor, fill, html.EscapeString(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, style string) {
	d.printf(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`, x1, y1, x2, y2, style)
}

func (d *drawing) timeAxis() {
	step := niceStep(d.end/float64(time.Second), 10)
	for s := 0.0; s <= d.end/float64(time.Second); s += step {
		x := d.x(Millis(s * float64(time.Second)))
		d.line(x, rateTop, x, delayBottom, `stroke="#eee"`)
		d.text(x, delayBottom+16, "middle", "#333", fmt.Sprintf("%.4g s", s))
	}
}

// niceStep is a step of 1, 2 or 5 times a power of ten that parts a span into n at most.
func niceStep(span, n float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(span/n)))
	for _, m := range []float64{1, 2, 5} {
		if span/(m*power) <= n {
			return m * power
		}
	}
	return 10 * power
}

// columns are the cells of the run, few enough to be told apart, and their width in time.
func (d *drawing) columns() ([]cell, time.Duration) {
	t := d.result.timeline
	n := 1
	for len(t.cells)/n > maxColumns {
		n++
	}
	return joined(t.cells, n), t.step * time.Duration(n)
}

func (d *drawing) bars() {
	cells, step := d.columns()
	most := uint32(1)
	for _, c := range cells {
		most = max(most, c.acks)
	}
	top := float64(most) / step.Seconds() * 1.05
	d.text(plotLeft, rateTop-4, "start", "#333", "acknowledged per second")
	for v, s := 0.0, niceStep(top, 4); v <= top; v += s {
		y := rateBottom - (rateBottom-rateTop)*v/top
		d.line(plotLeft, y, plotRight, y, `stroke="#ddd"`)
		d.text(plotLeft-6, y+4, "end", "#333", fmt.Sprintf("%.6g", v))
	}
	for i, c := range cells {
		if c.acks == 0 {
			continue
		}
		x1, x2 := d.x(Millis(step*time.Duration(i))), d.x(Millis(step*time.Duration(i+1)))
		h := (rateBottom - rateTop) * float64(c.acks) / step.Seconds() / top
		d.printf(`<rect x="%.2f" y="%.1f" width="%.2f" height="%.1f" fill="%s"/>`, x1, rateBottom-h, x2-x1, h, colour(int(c.reign)))
	}
}

// dots go up by powers of ten: one stall must not flatten all the rest.
func (d *drawing) dots() {
	cells, step := d.columns()
	slowest := time.Duration(0)
	for _, c := range cells {
		slowest = max(slowest, c.slowest)
	}
	least := float64(100 * time.Microsecond)
	decades := max(2, math.Ceil(math.Log10(float64(slowest)/least)))
	y := func(v float64) float64 {
		return delayBottom - (delayBottom-delayTop)*max(math.Log10(v/least), 0)/decades
	}
	d.text(plotLeft, delayTop-4, "start", "#333", "slowest insert")
	for e := 0.0; e <= decades; e++ {
		v := least * math.Pow(10, e)
		d.line(plotLeft, y(v), plotRight, y(v), `stroke="#ddd"`)
		d.text(plotLeft-6, y(v)+4, "end", "#333", time.Duration(math.Round(v)).String())
	}
	for i, c := range cells {
		if c.acks > 0 {
			d.printf(`<circle cx="%.2f" cy="%.1f" r="1.6" fill="%s"/>`, d.x(Millis(step*time.Duration(i)+step/2)), y(float64(c.slowest)), colour(int(c.reign)))
		}
	}
}

// label is a text in the lanes above the plots and the line it stands on.
type label struct {
	x    float64
	text string
	fill string
}

// labels draws gaps and marks, and stacks their texts where they would collide.
func (d *drawing) labels() {
	var all []label
	gaps := slices.Clone(d.result.Gaps)
	slices.SortFunc(gaps, func(a, b Gap) int { return cmp.Compare(b.Length, a.Length) })
	for i, g := range gaps {
		x1, x2 := d.x(g.At), d.x(g.end())
		d.printf(`<rect x="%.2f" y="%g" width="%.2f" height="%g" fill="#e53e3e" opacity="0.3"/>`, x1, rateTop, max(x2-x1, 1.5), delayBottom-rateTop)
		if i < gapLabels {
			all = append(all, label{(x1 + x2) / 2, g.Length.String(), "#c53030"})
		}
	}
	for _, e := range d.result.Marks {
		x := d.x(e.At)
		d.line(x, rateTop, x, delayBottom, `stroke="#000" stroke-dasharray="4 3"`)
		all = append(all, label{x, e.Name, "#000"})
	}
	slices.SortStableFunc(all, func(a, b label) int { return cmp.Compare(a.x, b.x) })
	var taken [lanes]float64 // up to where each lane is full
	for _, l := range all {
		d.place(l, &taken)
	}
}

// place puts a label into the lowest lane with room for it, or into the top one.
func (d *drawing) place(l label, taken *[lanes]float64) {
	width := 6.5*float64(len([]rune(l.text))) + 8
	left := min(l.x, plotRight-width)
	lane := 0
	for lane < lanes-1 && taken[lane] > left {
		lane++
	}
	taken[lane] = left + width
	y := lanesTop + laneHeight*float64(lanes-1-lane)
	d.line(l.x, y, l.x, rateTop, fmt.Sprintf(`stroke="%s" stroke-width="0.5"`, l.fill))
	d.text(left+3, y, "start", l.fill, l.text)
}

func (d *drawing) legend() {
	x := plotLeft
	for i, r := range d.result.Reigns {
		name := reignKey{r.Host, r.Timeline}.String()
		d.printf(`<rect x="%.1f" y="%g" width="10" height="10" fill="%s"/>`, x, svgHeight-26, colour(i))
		d.text(x+15, svgHeight-17, "start", "#333", name)
		x += 6.5*float64(len(name)) + 36
	}
	d.printf(`<rect x="%.1f" y="%g" width="10" height="10" fill="#e53e3e" opacity="0.3"/>`, x, svgHeight-26)
	d.text(x+15, svgHeight-17, "start", "#333", "nobody: a gap")
}
