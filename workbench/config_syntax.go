package workbench

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The files of Workbench are lists of keys with values, in sections, in one of two
// syntaxes. A page is such a file, a section the part below a name in brackets or,
// where the syntax has no names, a paragraph, and a line is a key with its value
// or its several values.
type (
	page struct {
		name     string // in /etc/rstudio
		mode     fs.FileMode
		owner    string
		syntax   syntax
		sections []section
		bare     bool // without a first line that says who wrote it
	}
	section struct {
		name  string
		lines []line
	}
	line struct {
		key    string
		values []string // none is no line
		list   bool     // whether there may be several
		secret bool     // no message quotes it
	}
	syntax struct {
		assign string // between key and value
		join   string // between values
	}
)

// The syntaxes. INI files are read by Boost's program_options, which takes # for a
// comment wherever it is, and by its property_tree, which knows sections, refuses a
// key that is repeated, and whose readers split lists at commas. DCF is that of
// Debian's control files: a blank line ends a record, and a line that is indented
// continues the one before (DcfParser.cpp in github.com/rstudio/rstudio).
var (
	ini = syntax{assign: "=", join: ","}
	dcf = syntax{assign: ": ", join: "\n  "}
)

// text is a line of a string; empty is none.
func text(key, value string) line {
	if value == "" {
		return line{}
	}
	return line{key: key, values: []string{value}}
}

// list is a line of several strings; none is none.
func list(key string, values []string) line { return line{key: key, values: values, list: true} }

// number is a line of a number; zero is none.
func number[N int | int64](key string, n N) line {
	if n == 0 {
		return line{}
	}
	return text(key, strconv.FormatInt(int64(n), 10))
}

// flag is a line of 1 or 0.
func flag(key string, on bool) line {
	if on {
		return text(key, "1")
	}
	return text(key, "0")
}

// Never is the idle time after which nothing happens.
const Never time.Duration = -1

// span is a line of a time in whole units; zero is none and Never is 0, which is
// how Workbench writes it.
func span(key string, d, unit time.Duration) line {
	if d == Never {
		return text(key, "0")
	}
	return number(key, int64(d/unit))
}

// checkSpan reports why a time cannot be written in whole units, or nil.
func checkSpan(field string, d time.Duration, unit string, size time.Duration) error {
	if d == Never || d >= 0 && d%size == 0 {
		return nil
	}
	return fmt.Errorf("%s %v: want whole %s, zero for Workbench's own or Never", field, d, unit)
}

// secret is a line that no message quotes.
func secret(l line) line {
	l.secret = true
	return l
}

// header is a comment in both syntaxes.
const header = "# Written by Atelier from typed values: what is changed here is lost.\n"

// render returns the file, or everything that it cannot hold.
func (p page) render() (File, []error) {
	var found []error
	var out strings.Builder
	if !p.bare {
		out.WriteString(header)
	}
	for i, s := range p.sections {
		if i > 0 || !p.bare {
			out.WriteString("\n")
		}
		if s.name != "" {
			fmt.Fprintf(&out, "[%s]\n", s.name)
			if why := fault(s.name, "]"); why != "" {
				found = append(found, fmt.Errorf("%s: section %.40q %s", p.name, s.name, why))
			}
		}
		for _, l := range s.lines {
			if len(l.values) == 0 {
				continue
			}
			found = append(found, l.problems(p)...)
			out.WriteString(l.key + p.syntax.assign + strings.Join(l.values, p.syntax.join) + "\n")
		}
	}
	return File{Path: directory + "/" + p.name, Mode: p.mode, Owner: p.owner, Content: []byte(out.String())}, found
}

func (l line) problems(p page) []error {
	var found []error
	var separator string
	if l.list {
		separator = strings.TrimSpace(p.syntax.join)
	}
	for _, v := range l.values {
		if why := fault(v, separator); why != "" {
			quoted := fmt.Sprintf("%.80q", v)
			if l.secret {
				quoted = "(secret)"
			}
			found = append(found, fmt.Errorf("%s: %s: %s %s", p.name, l.key, quoted, why))
		}
	}
	return found
}

// fault says what about a value would change the meaning of the file it stands in,
// or nothing. One rule holds for all files: what any of their readers might take
// for something else than itself is refused, for there is no quoting that all of
// them understand.
func fault(value, separator string) string {
	switch {
	case value == "":
		return "is empty"
	case !utf8.ValidString(value):
		return "is not UTF-8"
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "has a line break or another character that does not print: a value is one line"
	case strings.TrimSpace(value) != value:
		return "begins or ends with a space, which is lost"
	case value[0] == '[':
		return "begins with [ as a section does"
	}
	if i := strings.IndexAny(value, `#;"\`); i >= 0 {
		return fmt.Sprintf("has %q: readers of such files take it for a comment, a quotation or an escape", value[i])
	}
	if separator != "" && strings.Contains(value, separator) {
		return fmt.Sprintf("has %q, which ends it", separator)
	}
	return ""
}

// public is a page that everybody may read.
func public(name string, s syntax, sections ...section) page {
	return page{name: name, mode: 0o644, owner: byRoot, syntax: s, sections: sections}
}

// lines is the only section of a file without sections.
func lines(l ...line) section { return section{lines: l} }
