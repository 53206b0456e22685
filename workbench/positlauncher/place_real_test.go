package positlauncher

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// Of a job on a real engine that has dropped the oldest of its output, what follows a
// place is read once, if that is kept; and if not, what there is.
func TestPlaceOnAnEngine(t *testing.T) {
	engine := dockertest.Engine(t)
	image, dir := dockertest.Shell(t, engine), filepath.Join(t.TempDir(), "job")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := dockerlauncher.New(dockerlauncher.Config{Client: engine, Mounts: dockerlauncher.Below(filepath.Dir(dir))})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// It writes lines of 10,000 bytes, pauses after 90 MB, and writes 60 more.
	const mega, lineLength, pause, all = 1_000_000, 10_000, 9_000, 15_000
	line := func(n int) string { return fmt.Sprintf("%08d%*s\n", n, lineLength-9, "x") }
	id := launcher.ID(fmt.Sprintf("place-%d", time.Now().UnixNano()))
	_, err = l.Launch(ctx, launcher.Workload{
		ID: id, Owner: "place", Image: image, Mounts: []launcher.Mount{{Source: dir, Target: "/data"}},
		Command: []string{"sh", "-c", fmt.Sprintf(`n=0
			write() { while [ $n -lt $1 ]; do printf '%%08d%%%ds\n' $n x; n=$((n+1)); done; }
			write %d; : >/data/paused; while [ ! -e /data/go ]; do sleep 0.1; done; write %d`, lineLength-9, pause, all)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := func() (launcher.Status, error) {
		return launcher.Wait(ctx, l, id, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	}
	defer func() {
		err := l.Stop(ctx, id, launcher.StopOptions{Signal: "SIGKILL"})
		if err == nil {
			_, err = ended()
		}
		if err == nil {
			err = l.Stop(ctx, id, launcher.StopOptions{Forget: true})
		}
		if err != nil {
			t.Error(err)
		}
	}()
	open := func(o launcher.LogOptions) (io.ReadCloser, error) { return l.Logs(ctx, id, o) }
	// read follows what is told from a place on, which begins with a line, and returns
	// which; it reads so much or to the end.
	read := func(p *place, most int64) (first int, n int64, lost bool) {
		t.Helper()
		logs, lost, err := p.open(open, launcher.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer logs.Close()
		text := make([]byte, lineLength)
		for ; n < most; n += lineLength {
			if _, err := io.ReadFull(logs, text); err == io.EOF {
				return first, n, lost
			} else if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				if _, err := fmt.Sscanf(string(text), "%08d", &first); err != nil {
					t.Fatal(err)
				}
			}
			if want := line(first + int(n/lineLength)); string(text) != want {
				t.Fatalf("%d bytes after line %d is %.20q, want %.20q", n, first, text, want)
			}
			p.pass(text)
		}
		return first, n, lost
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "paused")); err == nil {
			break
		} else if err := pace.Sleep(ctx, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	var early, late place
	if first, n, _ := read(&early, 10*mega); first != 0 || n != 10*mega {
		t.Fatalf("%d bytes from line %d on", n, first)
	}
	if first, n, _ := read(&late, pause*lineLength); first != 0 || n != pause*lineLength {
		t.Fatalf("%d bytes from line %d on", n, first)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := ended(); err != nil || s.ExitCode != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if first, n, lost := read(&late, all*lineLength); first != pause || n != (all-pause)*lineLength || lost {
		t.Errorf("it goes on with %d bytes from line %d on, a gap %t; want all from line %d", n, first, lost, pause)
	}
	if first, n, lost := read(&early, all*lineLength); !lost || n < 70*mega || first != all-int(n/lineLength) {
		t.Errorf("of what is not kept any more it is %d bytes from line %d on, a gap %t", n, first, lost)
	}
}
