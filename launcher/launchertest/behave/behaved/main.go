// Behaved is the binary of the test image of package launchertest, for engines
// that run processes: see package behave for its command line. Build it
// without cgo, and an image needs nothing else.
package main

import (
	"os"

	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

func main() { os.Exit(behave.Main()) }
