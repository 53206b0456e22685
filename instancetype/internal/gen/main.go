// Command gen compiles ../../data into ../../catalog.gz. It is run in the
// directory of package instancetype by go generate.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	if err := generate("data", "catalog.gz"); err != nil {
		log.Fatal(err)
	}
}

// generate writes the catalog of the CSV files in dir. It leaves a file alone
// whose content is right already, so that the committed bytes do not depend on
// which Go release compressed them.
func generate(dir, file string) error {
	text, err := compile(os.DirFS(dir))
	if err != nil {
		return err
	}
	present, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if content, err := decompress(present); err == nil && bytes.Equal(content, text) {
		return nil
	}
	compressed, err := compress(text)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(file), compressed, 0o644)
}

func compress(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decompress(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// compile makes the text of the catalog, whose form instancetype.load describes.
func compile(dir fs.FS) ([]byte, error) {
	var b bytes.Buffer
	var errs []error
	for _, section := range []func(*bytes.Buffer, fs.FS) error{sources, types, prices} {
		errs = append(errs, section(&b, dir))
		b.WriteByte('\n')
	}
	b.Truncate(max(0, b.Len()-1))
	return b.Bytes(), errors.Join(errs...)
}

func sources(b *bytes.Buffer, dir fs.FS) error {
	rows, err := read(dir, "sources.csv", "source", "as_of")
	for _, row := range rows {
		line(b, row["source"], row["as_of"])
	}
	return err
}

func types(b *bytes.Buffer, dir fs.FS) error {
	rows, err := read(dir, "instance_types.csv",
		"name", "vcpus", "memory_mib", "arch", "gpus", "gpu_name", "gpu_manufacturer", "gpu_memory_mib", "network_gbps",
		"network_peak_gbps", "ebs_baseline_mbps", "local_storage_gb", "local_storage_disks", "max_enis", "ips_per_eni",
		"max_branch_enis", "hypervisor", "bare_metal", "burstable", "current_generation", "hibernation_supported",
		"spot_supported", "spec_source")
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(x, y record) int { return strings.Compare(x["name"], y["name"]) })
	for _, row := range rows {
		disks, diskType, err := disks(row["local_storage_disks"])
		if err != nil {
			return fmt.Errorf("%s: %w", row["name"], err)
		}
		branches := row["max_branch_enis"]
		trunking := "1"
		switch branches {
		case "", "0":
			trunking = branches
		}
		cells := []string{
			row["name"], row["vcpus"], row["memory_mib"], row["arch"],
			row["gpus"], row["gpu_name"], manufacturer(row["gpu_manufacturer"]), row["gpu_memory_mib"],
			row["network_gbps"], row["network_peak_gbps"], row["ebs_baseline_mbps"],
			row["local_storage_gb"], disks, diskType,
			row["max_enis"], row["ips_per_eni"], trunking, branches,
			row["hypervisor"],
		}
		for _, column := range []string{"bare_metal", "burstable", "current_generation", "hibernation_supported", "spot_supported"} {
			cell, ok := map[string]string{"true": "1", "false": "0", "": ""}[row[column]]
			if !ok {
				return fmt.Errorf("%s: %s is %q", row["name"], column, row[column])
			}
			cells = append(cells, cell)
		}
		line(b, append(cells, row["spec_source"])...)
	}
	return nil
}

// prices leaves out what is not in US dollars, which Money cannot hold, and
// three types that the sources price without describing them.
func prices(b *bytes.Buffer, dir fs.FS) error {
	rows, err := read(dir, "instance_prices.csv", "region", "name", "usd_per_hour", "currency", "source", "as_of")
	if err != nil {
		return err
	}
	slices.SortStableFunc(rows, func(x, y record) int {
		return slices.Compare([]string{x["region"], x["source"], x["as_of"], x["name"]}, []string{y["region"], y["source"], y["as_of"], y["name"]})
	})
	var header string
	for _, row := range rows {
		switch row["name"] {
		case "cc2.8xlarge", "hs1.8xlarge", "i3p.16xlarge":
			continue
		}
		if row["currency"] != "USD" {
			continue
		}
		micros, err := micros(row["usd_per_hour"])
		if err != nil {
			return fmt.Errorf("%s in %s: %w", row["name"], row["region"], err)
		}
		if h := "@" + row["region"] + "\t" + row["source"] + "\t" + row["as_of"]; h != header {
			header = h
			line(b, header)
		}
		line(b, row["name"], micros)
	}
	return nil
}

// micros moves the point of a decimal number six places to the right.
func micros(dollars string) (string, error) {
	whole, decimals, _ := strings.Cut(dollars, ".")
	if len(decimals) > 6 {
		return "", fmt.Errorf("price %q is finer than a millionth", dollars)
	}
	return strings.TrimLeft(whole+decimals+strings.Repeat("0", 6-len(decimals)), "0"), nil
}

// disks parts "2x1900GB-ssd" into number and type.
func disks(s string) (number, diskType string, err error) {
	if s == "" {
		return "", "", nil
	}
	number, rest, ok := strings.Cut(s, "x")
	_, diskType, ok2 := strings.Cut(rest, "GB-")
	if !ok || !ok2 || strings.Contains(rest, ";") {
		return "", "", fmt.Errorf("disks %q", s)
	}
	return number, diskType, nil
}

// manufacturer makes one spelling of each name.
func manufacturer(s string) string {
	switch s {
	case "nvidia":
		return "NVIDIA"
	case "habana":
		return "Habana"
	}
	return s
}

func line(b *bytes.Buffer, cells ...string) {
	b.WriteString(strings.Join(cells, "\t"))
	b.WriteByte('\n')
}

// A record is a row of a CSV file by column.
type record map[string]string

// read returns the rows of a CSV file that has the columns.
func read(dir fs.FS, name string, columns ...string) ([]record, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%s: no rows", name)
	}
	for _, column := range columns {
		if !slices.Contains(rows[0], column) {
			return nil, fmt.Errorf("%s: no column %s", name, column)
		}
	}
	var records []record
	for _, row := range rows[1:] {
		r := record{}
		for i, column := range rows[0] {
			r[column] = row[i]
		}
		records = append(records, r)
	}
	return records, nil
}
