package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/atelier-go/atelier/workbench/positlauncher"
)

// options are what the program is started with.
type options struct {
	// accounts prints those of the domain, and that is all.
	accounts bool
	// fake and docker say what jobs run on. Neither is the fleet of the domain in
	// launcher's ConfigFile.
	fake, docker bool
	// users are the logins of the fake's domain, and of the one whose jobs run on an
	// engine.
	users []string
	// image is what jobs run in on an engine, and homes where their homes are.
	image, homes string
	// launcher is what the Launcher says.
	launcher positlauncher.Arguments
}

// parse takes the options of this program from arguments. The others are the
// Launcher's, of which the unknown are left alone. An error is a [usageError].
func parse(args []string) (o options, err error) {
	if len(args) > 0 && args[0] == "accounts" {
		o.accounts, args = true, args[1:]
	}
	var users string
	flags := o.flags(&users)
	var own, others []string
	for i := 0; i < len(args); i++ {
		name, _, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") {
			others = append(others, args[i])
			continue
		}
		if name == "h" || name == "help" {
			return o, &usageError{}
		}
		known := flags.Lookup(name)
		if known == nil {
			others = append(others, args[i])
			continue
		}
		own = append(own, args[i])
		truth, ok := known.Value.(interface{ IsBoolFlag() bool })
		alone := given || ok && truth.IsBoolFlag()
		if !alone && i+1 < len(args) {
			i++
			own = append(own, args[i])
		}
	}
	if err := flags.Parse(own); err != nil {
		return o, &usageError{err}
	}
	o.users = strings.Split(users, ",")
	o.launcher = positlauncher.ParseArguments(others)
	switch {
	case o.fake && o.docker:
		return o, &usageError{errors.New("-fake or -docker, and not both")}
	case o.accounts && (o.fake || o.docker):
		return o, &usageError{errors.New("accounts are those of a domain that lasts: name its file by --config-file, without -fake and -docker")}
	case !o.fake && !o.docker && o.launcher.ConfigFile == "":
		return o, &usageError{errors.New("the domain's file is missing: the Launcher names it by --config-file; to try without one, use -fake or -docker")}
	}
	return o, nil
}

// flags are the program's own.
func (o *options) flags(users *string) *flag.FlagSet {
	flags := flag.NewFlagSet("positplugin", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.fake, "fake", false, "serve a world in memory")
	flags.BoolVar(&o.docker, "docker", false, "run jobs on this machine's container engine; making their homes needs root")
	user := os.Getenv("USER")
	if user == "" || user == "root" { // who is nobody's login
		user = "alice"
	}
	flags.StringVar(users, "users", user, "with -fake or -docker, the users of the domain: `logins` with commas between")
	flags.StringVar(&o.image, "image", "busybox", "with -docker, the `image` that jobs run in")
	flags.StringVar(&o.homes, "homes", "", "with -docker, the `directory` of the homes (default one that goes with the program)")
	return flags
}

// A usageError says what is wrong with the arguments, and what would be right.
type usageError struct{ err error }

func (e *usageError) Error() string {
	var text strings.Builder
	if e.err != nil {
		fmt.Fprintf(&text, "positplugin: %v\n\n", e.err)
	}
	text.WriteString(`Positplugin runs the sessions and jobs of Posit Workbench on EC2 instances of a domain.

  positplugin --config-file=/etc/rstudio/launcher.ec2.conf
        serves Posit's Job Launcher, which starts it so, on standard input and output;
        flags of the Launcher that it does not know are left alone
  positplugin accounts --config-file=/etc/rstudio/launcher.ec2.conf
        prints the accounts of the domain's users, one a line
  positplugin -fake
  positplugin -docker
        serve it without AWS

The file has three lines: domain=NAME, region=REGION and store=TABLE.

Flags:
`)
	flags := new(options).flags(new(string))
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return strings.TrimRight(text.String(), "\n")
}

func (e *usageError) Unwrap() error { return e.err }
