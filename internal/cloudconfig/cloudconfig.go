// Package cloudconfig writes what cloud-init takes as user data: files, and what is run
// when they are there.
package cloudconfig

import (
	"fmt"
	"strings"
)

// MaxSize is how much user data EC2 takes, before it is encoded
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const MaxSize = 16 << 10

// A File is one that a host is given.
type File struct {
	// Name is what its text is known by, Path where a host has it, Mode its permissions
	// as octal digits ("0755"); "0644" is cloud-init's own.
	Name, Path, Mode string
}

// UserData has a host write files, in their order, and run commands, each a list in the
// notation of YAML. The last line of a text ends with a line break as all do.
func UserData(files []File, text func(name string) string, commands ...string) string {
	var b strings.Builder
	b.WriteString("#cloud-config\nwrite_files:\n")
	for _, f := range files {
		fmt.Fprintf(&b, "-\n path: %s\n", f.Path) // on a line of its own, for less indentation
		if f.Mode != "0644" {
			fmt.Fprintf(&b, " permissions: '%s'\n", f.Mode)
		}
		b.WriteString(" content: |\n")
		for line := range strings.Lines(text(f.Name)) {
			if line != "\n" {
				b.WriteString("  ")
			}
			b.WriteString(line)
		}
	}
	b.WriteString("runcmd:\n")
	for _, c := range commands {
		b.WriteString("- " + c + "\n")
	}
	return b.String()
}
