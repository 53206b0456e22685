package session

import (
	"strconv"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// labelHome is on the workloads that remove a home's files, with the name
	// of its user. They have no session.
	labelHome = labelPrefix + "home"
	// rootTarget is where they see the file system.
	rootTarget = "/homes"
)

// removeScript removes the directory $2, which is a uid, below $1. The renaming
// comes first and is atomic: whatever happens after, nobody finds a home of
// which a part is missing. rm follows no links.
const removeScript = `set -eu
case $2 in ''|0*|*[!0-9]*) echo "$2 is not a uid" >&2; exit 64 ;; esac
cd -- "$1" || exit 2
home=./$2
doomed=./.deleted-$2
exists() { [ -e "$1" ] || [ -L "$1" ]; }
if exists "$doomed"; then rm -rf -- "$doomed"; fi
if exists "$home"; then mv -- "$home" "$doomed"; rm -rf -- "$doomed"; fi
if exists "$home" || exists "$doomed"; then echo "$2 is still there" >&2; exit 1; fi
`

// DeleteHomeCommand is the command by which [Manager.DeleteHome] removes the
// home of a uid from the file system mounted at dir: the shell with a constant
// script, and what it is about as arguments.
//
//	sh -c <script> delete-home <dir> <uid>
//
// The script renames <dir>/<uid> to <dir>/.deleted-<uid>, which is atomic, and
// removes that with all it holds; symbolic links are removed and not followed.
// It can be ended at any moment and run again: a directory .deleted-<uid> of
// an earlier run is removed first, and a home that is not there is success. It
// needs sh with its built-in [ and echo, mv and rm, and ends with code 0 only
// if neither directory is left.
func DeleteHomeCommand(dir string, uid uint32) []string {
	return []string{"sh", "-c", removeScript, "delete-home", dir, strconv.FormatUint(uint64(uid), 10)}
}

// removal is the removal of a user's files as it is stored: the attempt under
// way, or the last one. It is kept for ever, as it counts the attempts.
type removal struct {
	User string
	// Home says which of the user's homes it is about:
	// [domain.HomeDeletion.Count] as it began.
	Home int
	// Attempt counts the workloads, also those for earlier homes.
	Attempt int
	// Grant and Root are what the attempt's workload runs on and mounts.
	Grant domain.Grant
	Root  efs.Root
	// Asked is when a launch of the attempt was last begun. It is written
	// before the launcher is called.
	Asked time.Time
	// Over is set when the attempt's workload has ended for certain, with
	// Removed if the files are gone, Lost if nobody knows how it ended, and
	// Reason and Message otherwise.
	Over    bool          `json:",omitempty"`
	Removed bool          `json:",omitempty"`
	Lost    bool          `json:",omitempty"`
	Reason  launcher.Kind `json:",omitempty"`
	Message string        `json:",omitempty"`
}

// removals is where the removals of the domain are stored, by user.
func (m *Manager) removals() store.Table[removal] {
	return store.NewTable[removal](m.domain.Store(), "domains/"+m.domain.Name()+"/removals")
}

// workloadID names the attempt's workload, for ever. It has a part more than
// that of a session, so it is none.
func (r removal) workloadID() launcher.ID {
	uid := strconv.FormatUint(uint64(r.Grant.User.UID), 10)
	return launcher.ID(r.Grant.Domain + ".home." + uid + "." + strconv.Itoa(r.Attempt))
}

// wants reports whether a workload is the attempt under way.
func (r removal) wants(id launcher.ID) bool { return !r.Over && r.workloadID() == id }

// workload is what the launcher is asked to run for the attempt. It depends on
// nothing but the record, so that every process asks for the same.
func (r removal) workload() launcher.Workload {
	g := r.Grant
	return launcher.Workload{
		ID:      r.workloadID(),
		Owner:   g.Domain + "/" + g.User.Name,
		Image:   g.Image.Reference.String(),
		Command: DeleteHomeCommand(rootTarget, g.User.UID),
		User:    launcher.User{}, // root
		Mounts: []launcher.Mount{
			mount(efs.Home{FileSystem: r.Root.FileSystem, AccessPoint: r.Root.AccessPoint}, rootTarget),
		},
		Resources:    launcher.Resources(g.Size),
		InstanceType: g.Type.Name,
		Sharing:      sharing(g.Sharing),
		Labels:       map[string]string{labelDomain: g.Domain, labelHome: g.User.Name},
	}
}
