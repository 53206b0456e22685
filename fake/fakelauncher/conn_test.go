package fakelauncher

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

func pair() (*conn, *conn) {
	return newConns(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2})
}

func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = pair()
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

// A writer must wait for its reader at 64 KiB, on virtual time.
func TestConnBuffersOnly64KiB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair()
		a.SetWriteDeadline(time.Now().Add(time.Hour))
		n, err := a.Write(make([]byte, bufferSize+1))
		if n != bufferSize || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write of %d bytes nobody reads = %d, %v; want %d and a passed deadline", bufferSize+1, n, err, bufferSize)
		}
		if n, err := io.ReadFull(b, make([]byte, bufferSize)); err != nil {
			t.Errorf("reading the buffer: %d bytes, %v", n, err)
		}
	})
}

func TestConnHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair()
		io.WriteString(a, "question")
		if err := a.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write after CloseWrite: %v; want EPIPE", err)
		}
		if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
			t.Errorf("peer read %q, %v", got, err)
		}
		go func() { io.WriteString(b, "answer"); b.Close() }()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("after CloseWrite read %q, %v", got, err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v; want net.ErrClosed", err)
		}
	})
}

func TestConnReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair()
		io.WriteString(b, "lost")
		b.reset()
		if _, err := a.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read after a reset: %v; want ECONNRESET", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Write after a reset: %v; want ECONNRESET", err)
		}
	})
}
