// Package instrument makes the metric instruments of a package from a list of what
// they are, which is also the table in its documentation.
package instrument

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// A Spec says what an instrument is.
type Spec struct {
	Name string
	// Kind is Counter, UpDown, Gauge or Histogram.
	Kind Kind
	// Unit is by UCUM: "s", "{session}".
	Unit string
	// Attributes are the names of those that its measurements have, without those
	// that all of a package have.
	Attributes []string
	// About is its description.
	About string
	// Bounds are those of the buckets of a histogram.
	Bounds []float64
}

// A Kind is how measurements of an instrument add up.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"   // adds up, over time and processes
	UpDown    Kind = "up-down"   // how many there are now, which adds up over processes
	Gauge     Kind = "gauge"     // as it is now, which does not
	Histogram Kind = "histogram" // how many there were of which size
)

// Seconds are bounds for what takes from an instant to half an hour, in seconds.
var Seconds = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800}

// A Set makes the instruments of a list. It collects what goes wrong.
type Set struct {
	specs map[string]Spec
	errs  []error
}

// NewSet returns a set of the instruments of a list.
func NewSet(specs []Spec) *Set {
	s := &Set{specs: map[string]Spec{}}
	for _, spec := range specs {
		s.specs[spec.Name] = spec
	}
	return s
}

// Make makes the instrument of a name by a method of a [metric.Meter], each once.
func Make[I, O any](s *Set, by func(string, ...O) (I, error), name string) I {
	spec, ok := s.specs[name]
	if !ok {
		panic("instrument: " + name + " is not in the list, or was made before")
	}
	delete(s.specs, name)
	options := []O{any(metric.WithDescription(spec.About)).(O), any(metric.WithUnit(spec.Unit)).(O)}
	if spec.Bounds != nil {
		options = append(options, any(metric.WithExplicitBucketBoundaries(spec.Bounds...)).(O))
	}
	made, err := by(name, options...)
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("instrument %s: %w", name, err))
	}
	return made
}

// Err is what the meter had against the instruments, or nil. All of the list have
// been made.
func (s *Set) Err() error {
	for name := range s.specs {
		panic("instrument: " + name + " is in the list and was not made")
	}
	return errors.Join(s.errs...)
}

// With are the attributes of a measurement: one that all have, and pairs of names
// and values, of which those without a value are left out.
func With(all attribute.KeyValue, pairs ...string) metric.MeasurementOption {
	attributes := append(make([]attribute.KeyValue, 0, 1+len(pairs)/2), all)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			attributes = append(attributes, attribute.String(pairs[i], pairs[i+1]))
		}
	}
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// ErrorType is the attribute "error.type" of an outcome: empty for nil, a word for
// the end of a context, else the error's kind.
func ErrorType(err error, kind func(error) string) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	}
	if k := kind(err); k != "" {
		return k
	}
	return "_OTHER" // OpenTelemetry's word for it
}

// Table is a list as lines of a comment in Go.
func Table(specs []Spec) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "instrument\tkind\tunit\tattributes\twhat")
	for _, s := range specs {
		attributes := strings.Join(s.Attributes, ", ")
		if attributes == "" {
			attributes = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.Kind, s.Unit, attributes, s.About)
	}
	_ = w.Flush() // into memory
	var table strings.Builder
	for line := range strings.Lines(b.String()) {
		table.WriteString("//\t" + line)
	}
	return table.String()
}
