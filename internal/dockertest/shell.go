package dockertest

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/realtest"
)

// Shell returns the name of an image with a shell and some tools: sh, cat, printf,
// pwd, sleep and nc, which are this machine's static busybox. Without one it skips
// the test.
func Shell(t testing.TB, engine *client.Client) string {
	t.Helper()
	const image = "atelier-test/shell:1"
	text, err := busybox()
	if err != nil {
		realtest.Missing(t, "no static busybox here, as Debian's package busybox-static has one: install it to run this test (%v)", err)
	}
	files, err := shellLayer(text)
	if err == nil {
		err = keepImages(engine, files, map[string]string{image: `CMD ["/bin/sh"]`})
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// busybox is the program, which has to need nothing else.
func busybox() ([]byte, error) {
	file, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	program, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is linked to libraries", file)
		}
	}
	return text, nil
}

// shellLayer is the files of an image with busybox, as a tar.
func shellLayer(busybox []byte) ([]byte, error) {
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	headers := []tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
	}
	for _, tool := range []string{"sh", "cat", "printf", "pwd", "sleep", "nc"} {
		headers = append(headers, tar.Header{Name: "bin/" + tool, Typeflag: tar.TypeSymlink, Linkname: "busybox"})
	}
	headers = append(headers, tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(busybox))}) // last: its content follows
	for _, h := range headers {
		if err := files.WriteHeader(&h); err != nil {
			return nil, err
		}
	}
	if _, err := files.Write(busybox); err != nil {
		return nil, err
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}
