package proxy

import (
	"encoding/binary"
	"testing"
)

// frame is one of a client.
func frame(head byte, payload int) []byte {
	f := []byte{head}
	switch {
	case payload < 126:
		f = append(f, 0x80|byte(payload))
	case payload < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(payload))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(payload))
	}
	return append(f, make([]byte, 4+payload)...)
}

func join(frames ...[]byte) (all []byte) {
	for _, f := range frames {
		all = append(all, f...)
	}
	return all
}

const (
	more                     = 0x00 // not final
	final                    = 0x80
	text, binaryData         = 0x01, 0x02
	closing, pinging, ponged = 0x08, 0x09, 0x0a
)

// TestMessages: each message counts once, however it is divided into frames, and
// only by what is in it.
func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		sent []byte
		more uint64
		want int
	}{
		"Nothing":       {nil, 0, 0},
		"Text":          {frame(final|text, 1), 0, 1},
		"Binary":        {frame(final|binaryData, 200), 0, 1},
		"Huge":          {frame(final|binaryData, 70_000), 69_999, 1},
		"Empty":         {frame(final|text, 0), 0, 0},
		"AsLong":        {frame(final|text, 13), 13, 0},
		"Longer":        {frame(final|text, 14), 13, 1},
		"Control":       {join(frame(final|pinging, 5), frame(final|ponged, 125), frame(final|closing, 2)), 0, 0},
		"Fragments":     {join(frame(more|text, 8), frame(final|pinging, 100), frame(more, 0), frame(final, 8)), 13, 1},
		"ManyCount":     {join(frame(more|text, 20), frame(more, 20), frame(final, 20), frame(final|text, 14)), 13, 2},
		"NotTogether":   {join(frame(final|text, 8), frame(final|text, 8)), 13, 0},
		"Compressed":    {frame(final|0x40|text, 3), 0, 1},
		"Unmasked":      {[]byte{final | text, 1, 'x', final | text, 2, 'x', 'y'}, 0, 2},
		"ImpossiblyBig": {join([]byte{final | binaryData, 0x80 | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, make([]byte, 100)), 13, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var f frames
			if got := f.messages(c.sent, c.more); got != c.want {
				t.Errorf("%d are counted, want %d", got, c.want)
			}
			for cut := range c.sent { // at any place
				var f frames
				if got := f.messages(c.sent[:cut], c.more) + f.messages(c.sent[cut:], c.more); got != c.want {
					t.Errorf("cut at %d, %d are counted, want %d", cut, got, c.want)
				}
			}
		})
	}
}

// In whatever pieces bytes come, the same is counted; and no more than there can be.
func FuzzFrames(f *testing.F) {
	f.Add(join(frame(final|text, 200), frame(final|pinging, 3), frame(more|binaryData, 5), frame(final, 70)), uint16(3), uint8(4))
	f.Add(frame(final|text, 300), uint16(9), uint8(0))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff}, uint16(1), uint8(200))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint16, more uint8) {
		var whole frames
		want := whole.messages(sent, uint64(more))
		if want < 0 || want > len(sent)/2 {
			t.Errorf("of %d bytes %d messages are counted", len(sent), want)
		}
		var parts frames
		got := 0
		for rest := sent; len(rest) > 0; {
			n := min(max(1, int(piece)), len(rest))
			got += parts.messages(rest[:n], uint64(more))
			rest = rest[n:]
			piece = piece*31 + 7 // some others next
		}
		if got != want || parts != whole {
			t.Errorf("in pieces %d are counted, at once %d", got, want)
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	sent := join(frame(final|text, 40), frame(final|binaryData, 32<<10))
	b.SetBytes(int64(len(sent)))
	var f frames
	for b.Loop() {
		f.messages(sent, 18)
	}
}
