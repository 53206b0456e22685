package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// Where things are, in pixels.
const (
	width      = 1200
	left       = 130 // of the plots, with what is written beside them
	right      = 30
	top        = 76 // with title and legend
	axisHeight = 34
	moneyTall  = 180
	plot       = width - left - right
)

// palette has colours that most people can tell apart (Okabe and Ito, "Color
// Universal Design", 2008).
var palette = []string{"#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#0072b2", "#d55e00", "#f0e442", "#999999"}

// canvas is an SVG document being written.
type canvas struct {
	bytes.Buffer
	until time.Duration
}

// x is where an instant is.
func (c *canvas) x(at time.Duration) float64 {
	return left + plot*float64(at)/float64(max(c.until, 1))
}

// put writes markup. Its arguments are numbers and colours.
func (c *canvas) put(format string, args ...any) {
	for i, a := range args {
		if f, ok := a.(float64); ok {
			args[i] = number(f)
		}
	}
	fmt.Fprintf(c, format+"\n", args...)
}

// number has tenths at most: a tenth of a pixel is not seen.
func number(x float64) string { return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64) }

// escape makes text fit to stand in XML.
func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a buffer takes it
	return b.String()
}

// text writes some at a place.
func (c *canvas) text(x, y float64, anchor, text string) {
	c.put(`<text x="%v" y="%v" text-anchor="%s">%s</text>`, x, y, anchor, escape(text))
}

// draw writes a picture as SVG: the hosts, one below the other, with the sessions on
// them, and below what was spent.
func (p picture) draw(out io.Writer) error {
	c := &canvas{until: p.until}
	row := min(max(math.Floor(2400/float64(max(len(p.hosts), 1))), 8), 26)
	floor := top + row*float64(len(p.hosts))
	tall := floor + axisHeight + 30 + moneyTall + axisHeight
	c.put(`<?xml version="1.0" encoding="UTF-8"?>`)
	c.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%v" viewBox="0 0 %[1]d %[2]v" font-family="sans-serif" font-size="11">`, width, tall)
	c.put(`<title>%s</title>`, escape(p.title))
	c.put(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	c.put(`<g font-size="15">`)
	c.text(left, 26, "start", p.title)
	c.put(`</g>`)
	p.legend(c)
	c.timeAxis(top, floor)
	for i, h := range p.hosts {
		p.host(c, h, top+row*float64(i), row)
	}
	if len(p.hosts) == 0 {
		c.text(left, top-4, "start", "no host ever ran")
	}
	p.money(c, floor+axisHeight+30)
	c.put(`</svg>`)
	_, err := c.WriteTo(out)
	return err
}

// host draws a row.
func (p picture) host(c *canvas, h hostRow, y, row float64) {
	gap := row / 8
	room := row - gap
	c.put(`<g><title>%s</title>`, escape(fmt.Sprintf("%s, %s in %s, from %s to %s", h.id, h.kind, h.zone, clock(h.bought), clock(h.ended))))
	c.put(`<rect x="%v" y="%v" width="%v" height="%v" fill="#e4e4e4"/>`, c.x(h.bought), y, c.x(h.ended)-c.x(h.bought), room)
	c.put(`<rect x="%v" y="%v" width="%v" height="%v" fill="#888"/></g>`, c.x(h.bought), y, c.x(h.answers)-c.x(h.bought), room)
	if row >= 10 {
		c.text(left-6, y+room/2+4, "end", h.kind+" "+h.zone[max(len(h.zone)-2, 0):])
	}
	for _, b := range h.boxes {
		c.put(`<rect x="%v" y="%v" width="%v" height="%v" fill="%s"><title>%s</title></rect>`,
			c.x(b.from), y+room*(1-b.high/h.height), c.x(b.to)-c.x(b.from), math.Max(room*(b.high-b.low)/h.height-0.4, 0.4), p.colour(b.visit),
			escape(fmt.Sprintf("%s, %s, %v", b.id, b.visit.User, b.visit.Size)))
	}
}

// bySize reports whether there are as few sizes as colours.
func (p picture) bySize() bool { return len(p.sizes) <= len(palette) }

// colour is that of a session's size or, if there are too many, of its user.
func (p picture) colour(v Visit) string {
	if p.bySize() {
		return palette[slices.Index(p.sizes, v.Size)]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(v.User)) // it takes it
	return palette[h.Sum32()%uint32(len(palette))]
}

// legend says what the colours are.
func (p picture) legend(c *canvas) {
	x := float64(left)
	entry := func(colour, text string) {
		c.put(`<rect x="%v" y="42" width="11" height="11" fill="%s"/>`, x, colour)
		c.text(x+16, 52, "start", text)
		x += 34 + 6.2*float64(len(text))
	}
	entry("#888", "host boots")
	entry("#e4e4e4", "room that is free")
	if !p.bySize() {
		c.text(x, 52, "start", "sessions have the colour of their user")
		return
	}
	for i, size := range p.sizes {
		entry(palette[i], shortSize(size))
	}
}

// shortSize is a size for where there is little room.
func shortSize(r launcher.Resources) string {
	return fmt.Sprintf("%v vCPU %v GiB", float64(r.MilliCPU)/1000, math.Round(float64(r.MemoryMiB)/1024*100)/100)
}

// timeAxis draws the hours below a plot, and lines up through it.
func (c *canvas) timeAxis(top, floor float64) {
	step := timeStep(c.until)
	c.put(`<g stroke="#ddd" stroke-width="0.5">`)
	for at := time.Duration(0); at <= c.until; at += step {
		c.put(`<line x1="%v" y1="%v" x2="%[1]v" y2="%[3]v"/>`, c.x(at), top, floor+4)
	}
	c.put(`</g><line x1="%d" y1="%v" x2="%d" y2="%[2]v" stroke="#000"/>`, left, floor, width-right)
	for at := time.Duration(0); at <= c.until; at += step {
		c.text(c.x(at), floor+16, "middle", clock(at))
	}
	c.text(width-right, floor+29, "end", "time from the beginning, h:mm:ss")
}

// timeStep is how far ticks are apart of which about ten are in a time.
func timeStep(until time.Duration) time.Duration {
	for _, step := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if until/step <= 12 {
			return step
		}
	}
	const day = 24 * time.Hour
	return (until/12/day + 1) * day
}

// clock is a time as hours, minutes and seconds.
func clock(at time.Duration) string {
	s := int64(at / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// money draws what was spent, and the least that could be.
func (p picture) money(c *canvas, y float64) {
	most := max(slices.Max(p.spent), slices.Max(p.least), 0.01)
	step := moneyStep(most)
	most = math.Ceil(most/step) * step
	up := func(dollars float64) float64 { return y + moneyTall*(1-dollars/most) }
	c.timeAxis(y, y+moneyTall)
	for i := 0; float64(i)*step <= most*1.0001; i++ {
		at := float64(i) * step
		c.put(`<line x1="%d" y1="%v" x2="%d" y2="%[2]v" stroke="#ddd" stroke-width="0.5"/>`, left, up(at), width-right)
		c.text(left-6, up(at)+4, "end", fmt.Sprintf("$%.2f", at))
	}
	for _, curve := range []struct {
		of           []float64
		colour, name string
		y            float64
	}{
		{p.least, "#009e73", "the room that was asked for, where it is cheapest", y - 6},
		{p.spent, "#d55e00", "spent so far", y - 20},
	} {
		c.WriteString(`<polyline fill="none" stroke="` + curve.colour + `" stroke-width="1.5" points="`)
		for i, dollars := range curve.of {
			c.WriteString(number(left+plot*float64(i)/float64(len(curve.of)-1)) + "," + number(up(dollars)) + " ")
		}
		c.put(`"/><line x1="%d" y1="%v" x2="%d" y2="%[2]v" stroke="%[4]v" stroke-width="3"/>`, left, curve.y-4, left+18, curve.colour)
		c.text(left+24, curve.y, "start", fmt.Sprintf("%s: $%.2f in all", curve.name, curve.of[len(curve.of)-1]))
	}
}

// moneyStep is how far ticks are apart of which about five are in an amount: 1, 2 or
// 5 of a power of ten, a cent at least.
func moneyStep(most float64) float64 {
	for power := 0.01; ; power *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if most/(n*power) <= 6 {
				return n * power
			}
		}
	}
}
