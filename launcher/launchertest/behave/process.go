package behave

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// Main is the test image as a process of its own: it does what its arguments
// say and returns the exit code.
func Main() int {
	groups, _ := os.Getgroups() // none if the system has no such thing
	user := launcher.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	for _, g := range groups {
		if g != os.Getgid() { // some engines list the first group among the others
			user.Groups = append(user.Groups, uint32(g))
		}
	}
	slices.Sort(user.Groups)
	// A process that only waits, and could wait for ever, is taken for stuck.
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	return run(ctx, process{
		system: operatingSystem{}, args: os.Args[1:],
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, identity: identity(user),
	})
}

// operatingSystem is the machine of a real process.
type operatingSystem struct{}

func (operatingSystem) Getenv(name string) string { return os.Getenv(name) }

func (operatingSystem) Getwd() (string, error) { return os.Getwd() }

func (operatingSystem) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

func (operatingSystem) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return os.WriteFile(name, data, perm)
}

func (operatingSystem) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func (operatingSystem) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }

func (operatingSystem) Listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf(":%d", port))
}

// Signals catches signals from now on. SIGKILL is asked for in vain.
func (operatingSystem) Signals(names ...string) <-chan string {
	caught, told := make(chan os.Signal, 8), make(chan string, 8)
	for _, name := range names {
		if n, ok := launcher.SignalNumber(name); ok {
			signal.Notify(caught, syscall.Signal(n))
		}
	}
	go func() {
		for s := range caught {
			for _, name := range names {
				if n, _ := launcher.SignalNumber(name); syscall.Signal(n) == s {
					told <- name
				}
			}
		}
	}()
	return told
}

// Allocate takes memory and touches every page of it. A kernel that has none
// left kills the process.
func (operatingSystem) Allocate(mib int64) bool {
	block := make([]byte, mib<<20)
	for i := 0; i < len(block); i += os.Getpagesize() {
		block[i] = 1
	}
	allocated = append(allocated, block)
	return true
}

// allocated is kept from the garbage collector until the process ends.
var allocated [][]byte

// Spin counts the time that passes while it looks at the clock. What is between
// two looks that are far apart was another's, or nobody's if a quota is used up.
func (operatingSystem) Spin(ctx context.Context, d time.Duration) bool {
	const far = time.Millisecond // a kernel's slices are longer, a look is much shorter
	for last := time.Now(); d > 0 && ctx.Err() == nil; {
		now := time.Now()
		if step := now.Sub(last); step < far {
			d -= step
		}
		last = now
	}
	return ctx.Err() == nil
}
