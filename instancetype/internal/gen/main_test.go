package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	dataDir   = "../../data"
	committed = "../../catalog.gz"
)

// TestCommitted: generating again gives the bytes that are committed.
func TestCommitted(t *testing.T) {
	before, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "catalog.gz")
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := generate(dataDir, file); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("catalog.gz is not what its data compile to: run go generate ./instancetype")
	}
}

// TestGenerateReplaces: a file that is missing, damaged or outdated is written.
func TestGenerateReplaces(t *testing.T) {
	want, err := compile(os.DirFS(dataDir))
	if err != nil {
		t.Fatal(err)
	}
	outdated, err := compress(append(bytes.Clone(want), "z9.large\t1\n"...))
	if err != nil {
		t.Fatal(err)
	}
	for name, present := range map[string][]byte{"missing": nil, "damaged": []byte("damaged"), "outdated": outdated} {
		file := filepath.Join(t.TempDir(), "catalog.gz")
		if present != nil {
			if err := os.WriteFile(file, present, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := generate(dataDir, file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decompress(b); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: wrote %d bytes that are not the catalog: %v", name, len(b), err)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, test := range map[string]struct{ file, old, new, want string }{
		"no column": {"instance_types.csv", "hypervisor", "hyper", "no column hypervisor"},
		"fact":      {"instance_types.csv", "nitro,false", "nitro,no", `bare_metal is "no"`},
		"disks":     {"instance_types.csv", "1x118GB-ssd", "1x59GB-ssd;1x59GB-hdd", "disks"},
		"too fine":  {"instance_prices.csv", "0.0416,", "0.04160001,", "finer"},
		"ragged":    {"sources.csv", "moto,", "moto,,", "wrong number of fields"},
	} {
		dir := fstest.MapFS{}
		for _, file := range []string{"instance_types.csv", "instance_prices.csv", "sources.csv"} {
			b, err := os.ReadFile(filepath.Join(dataDir, file))
			if err != nil {
				t.Fatal(err)
			}
			if file == test.file {
				b = bytes.Replace(b, []byte(test.old), []byte(test.new), 1)
			}
			dir[file] = &fstest.MapFile{Data: b}
		}
		if _, err := compile(dir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %s", name, err, test.want)
		}
	}
}

func TestMicros(t *testing.T) {
	for dollars, want := range map[string]string{"0.0416": "41600", "12": "12000000", "98.32": "98320000", "0.000001": "1"} {
		if got, err := micros(dollars); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", dollars, got, err, want)
		}
	}
}
