package workbench_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/workbench"
)

// The readers of this file know nothing of the package's own writing: they read as
// Workbench's do, and refuse what those refuse.

// paragraph is a section of an INI file, or a record of a DCF file.
type paragraph struct {
	name   string
	values map[string]string
}

// readINI reads as Boost's program_options and property_tree do, which differ: it
// fails where they would not understand the same.
func readINI(content string) ([]paragraph, error) {
	paragraphs := []paragraph{{values: map[string]string{}}}
	for i, l := range strings.Split(content, "\n") {
		options, _, comment := strings.Cut(l, "#") // program_options
		options = strings.TrimSpace(options)
		tree := strings.TrimSpace(l) // property_tree
		if tree == "" || tree[0] == '#' || tree[0] == ';' {
			continue
		}
		switch {
		case comment:
			return nil, fmt.Errorf("line %d: %q is %q to one reader", i+1, l, options)
		case tree[0] == '[':
			if tree[len(tree)-1] != ']' || strings.Count(tree, "]") != 1 {
				return nil, fmt.Errorf("line %d: section %q", i+1, tree)
			}
			paragraphs = append(paragraphs, paragraph{tree[1 : len(tree)-1], map[string]string{}})
			continue
		}
		key, value, ok := strings.Cut(tree, "=")
		if !ok {
			return nil, fmt.Errorf("line %d: %q has no =", i+1, l)
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		in := paragraphs[len(paragraphs)-1].values
		if _, twice := in[key]; twice || value == "" || strings.Trim(value, `"`) != value {
			return nil, fmt.Errorf("line %d: %q", i+1, l)
		}
		in[key] = value
	}
	if len(paragraphs[0].values) == 0 && len(paragraphs) > 1 {
		paragraphs = paragraphs[1:]
	}
	return paragraphs, nil
}

var (
	dcfField    = regexp.MustCompile(`^(\S+?)\s*:\s*(.*)$`)
	dcfContinue = regexp.MustCompile(`^\s+(.*)$`)
)

// readDCF reads as RStudio's DcfParser does.
func readDCF(content string) ([]paragraph, error) {
	var paragraphs []paragraph
	var now *paragraph
	var last string
	for i, l := range strings.Split(content, "\n") {
		switch field := dcfField.FindStringSubmatch(l); {
		case strings.TrimSpace(l) == "":
			now = nil
		case l[0] == '#':
		case field != nil:
			if now == nil {
				paragraphs = append(paragraphs, paragraph{values: map[string]string{}})
				now = &paragraphs[len(paragraphs)-1]
			}
			last = field[1]
			if _, twice := now.values[last]; twice {
				return nil, fmt.Errorf("line %d: %s is there twice", i+1, last)
			}
			now.values[last] = field[2]
		case now != nil && dcfContinue.MatchString(l):
			now.values[last] += "\n" + dcfContinue.FindStringSubmatch(l)[1]
		default:
			return nil, fmt.Errorf("line %d: %q", i+1, l)
		}
	}
	return paragraphs, nil
}

// read reads a file of /etc/rstudio by its name.
func read(t testing.TB, files []workbench.File, name string) []paragraph {
	t.Helper()
	parse := readINI
	if name == "launcher-mounts" || name == "launcher-env" {
		parse = readDCF
	}
	paragraphs, err := parse(string(content(t, files, name)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return paragraphs
}

func content(t testing.TB, files []workbench.File, name string) []byte {
	t.Helper()
	for _, f := range files {
		if f.Path == "/etc/rstudio/"+name {
			return f.Content
		}
	}
	t.Fatalf("no file %s among %v", name, files)
	return nil
}

// shown is what of a profiles file counts for a user, as the plugins of Posit's SDK
// have it: the most specific section, and of several the last.
// The groups are those of a domain.
func shown(menus []paragraph, user string, groups ...string) map[string]string {
	rank, found := -1, map[string]string{}
	for _, m := range menus {
		own := -1
		switch m.name {
		case "*":
			own = 0
		case user:
			own = 2
		default:
			if group, ok := strings.CutPrefix(m.name, "@group-"); ok && slices.Contains(groups, group) {
				own = 1
			}
		}
		if own >= 0 && own >= rank {
			rank, found = own, m.values
		}
	}
	return found
}

// lastShown is what counts for a user where the last section that applies does.
func lastShown(menus []paragraph, user string, groups ...string) map[string]string {
	found := map[string]string{}
	for _, m := range menus {
		if m.name == "*" || m.name == user || strings.HasPrefix(m.name, "@group-") && slices.Contains(groups, m.name[len("@group-"):]) {
			found = m.values
		}
	}
	return found
}
