package wire

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Time is a moment. It is written in UTC, to the second.
type Time struct{ time.Time }

// At returns t as messages have it, and nil for the zero time.
func At(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

// layouts are how a time may arrive. One without a zone is in UTC.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"}

// MarshalJSON writes "2026-01-02T15:04:05Z".
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.UTC().Format(time.RFC3339)) }

// UnmarshalJSON takes a time with or without zone and fraction. An empty text is the
// zero time.
func (t *Time) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil || text == "" {
		return err
	}
	for _, layout := range layouts {
		got, err := time.Parse(layout, text)
		// One whose year in UTC has no four digits could not be written again.
		if err == nil && got.UTC().Year() >= 0 && got.UTC().Year() <= 9999 {
			t.Time = got
			return nil
		}
	}
	return fmt.Errorf("time %.40q: want one such as 2026-01-02T15:04:05Z", text)
}
