package proxy

import "encoding/binary"

// frames reads the headers of a websocket's frames as they pass, in pieces of any
// size (RFC 6455, section 5.2). The zero value is the beginning of a connection.
type frames struct {
	head   [10]byte // of the frame that begins, without the mask
	have   int      // how much of it
	skip   uint64   // what is left of mask and payload
	length uint64   // of the message so far
	told   bool     // the message has been counted
}

// messages counts the messages with more than some bytes in them, each once, as
// soon as that is known. Pings, pongs and closes are none.
func (f *frames) messages(p []byte, more uint64) (count int) {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(p)))
			p, f.skip = p[n:], f.skip-n
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if f.have < f.size() {
			continue
		}
		f.have = 0
		if f.begin(more) {
			count++
		}
	}
	return count
}

// size is how long the frame's header is, as far as is known.
func (f *frames) size() int {
	if f.have < 2 {
		return 2
	}
	switch f.head[1] & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// begin takes in a frame whose header is whole, and reports whether its message is
// now one to be counted.
func (f *frames) begin(more uint64) bool {
	length := uint64(f.head[1] & 0x7f)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		length = binary.BigEndian.Uint64(f.head[2:]) & (1<<63 - 1)
	}
	f.skip = length
	if f.head[1]&0x80 != 0 {
		f.skip += 4 // the mask
	}
	const final, opcode, control, continuation = 0x80, 0x0f, 0x08, 0
	if f.head[0]&control != 0 {
		return false
	}
	if f.head[0]&opcode != continuation {
		f.length, f.told = 0, false
	}
	f.length = min(f.length, 1<<63) + length // and never around
	counts := f.length > more && !f.told
	f.told = f.told || counts
	if f.head[0]&final != 0 {
		f.length, f.told = 0, false
	}
	return counts
}
