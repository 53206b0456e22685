package workbench

import (
	"fmt"
	"io/fs"
)

// A File is one file of the host's configuration. Formatted, it does not tell
// what is in it.
type File struct {
	// Path is absolute, such as /etc/rstudio/rserver.conf.
	Path string
	// Mode has the permission bits.
	Mode fs.FileMode
	// Owner is a user and a group of the host, such as "root:root".
	Owner string
	// Content may be secret: it is never logged and never in user data.
	Content []byte
}

// String tells everything but the content.
func (f File) String() string {
	return fmt.Sprintf("%s %v %s (%d bytes)", f.Path, f.Mode, f.Owner, len(f.Content))
}

// GoString is String.
func (f File) GoString() string { return f.String() }
