//go:build unix

package positlauncher

import (
	"fmt"
	"os"
	"syscall"
)

// Stdio returns what the Launcher writes to and reads from: standard input and output
// of the process, as [Serve] wants them, so that it can end a Read that waits. From
// then on [os.Stdin] is empty and [os.Stdout] is standard error, so that a stray line
// of the program's is not taken for a message. Call it once, first of all.
func Stdio() (in, out *os.File, err error) {
	if in, err = take(os.Stdin); err != nil {
		return nil, nil, err
	}
	if out, err = take(os.Stdout); err != nil {
		return nil, nil, err
	}
	empty, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, fmt.Errorf("positlauncher: %w", err)
	}
	os.Stdin, os.Stdout = empty, os.Stderr
	return in, out, nil
}

// take is a file with a descriptor of its own, which is waited for without a thread.
func take(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("positlauncher: %s: %w", f.Name(), err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("positlauncher: %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
