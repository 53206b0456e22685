package fakeaws

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// mount is what an instance gets when it mounts the source of m,
// "/efs/<file system>.<access point>". It is called by hosts, when c.mu is not
// held.
func (c *Cloud) mount(inst *instance, m launcher.Mount) (*fakelauncher.Dir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mountEFS(inst.zone, inst.groups, m)
}

// mountEFS is mount for a place. Each failure is one that the mount helper of
// amazon-efs-utils meets; its error is [launcher.ErrMount].
func (c *Cloud) mountEFS(zone string, groups []string, m launcher.Mount) (*fakelauncher.Dir, error) {
	now := time.Now()
	failed := func(format string, args ...any) (*fakelauncher.Dir, error) {
		return nil, &launcher.Error{Op: "mount", Kind: launcher.ErrMount, Err: fmt.Errorf(m.Source+": "+format, args...)}
	}
	name, ok := strings.CutPrefix(m.Source, "/efs/")
	fsID, pointID, dot := strings.Cut(name, ".")
	if !ok || !dot {
		return failed("want /efs/<file system>.<access point>")
	}
	fs := c.efs.fileSystems[fsID]
	if fs == nil || fs.state(now) != types.LifeCycleStateAvailable {
		return failed("file system %s does not exist or is not available", fsID)
	}
	i := slices.IndexFunc(fs.targets, func(t *mountTarget) bool {
		return t.subnet.zone == zone && t.state(now) == types.LifeCycleStateAvailable
	})
	if i < 0 {
		return failed("file system %s has no available mount target in zone %s", fsID, zone)
	}
	if t := fs.targets[i]; !c.reaches(groups, t.groups, 2049) {
		return failed("mount target %s does not answer: its security groups %v do not let TCP 2049 in from the host's %v", t.id, t.groups, groups)
	}
	p := c.accessPoint(pointID)
	if p == nil || *p.in.FileSystemId != fsID || p.state(now) != types.LifeCycleStateAvailable {
		return failed("access point %s does not exist in %s or is not available", pointID, fsID)
	}
	dir, err := fs.enter(p)
	if err != nil {
		return failed("access point %s: %w", pointID, err)
	}
	if u := p.in.PosixUser; u != nil && *u.Uid == 0 && c.denies(rootAccess) {
		dir = dir.As(launcher.User{UID: nobody, GID: nobody})
	}
	return dir, nil
}

const (
	// rootAccess is what a client needs to act as root, also through an access
	// point that says so
	// (https://docs.aws.amazon.com/efs/latest/ug/enforce-identity-access-points.html).
	// Hosts are assumed to have it unless [Config.Deny] names it.
	rootAccess = "elasticfilesystem:ClientRootAccess"
	// nobody is whom root is taken for without it. The number is an assumption:
	// it is that of Linux's NFS server.
	nobody = 65534
)

// denies reports whether an action is in [Config.Deny].
func (c *Cloud) denies(action string) bool {
	return slices.ContainsFunc(c.deny, func(pattern *regexp.Regexp) bool { return pattern.MatchString(action) })
}

// enter opens the directory of an access point, which is created at the first
// mount, as its creation info says and only if it has one (API_CreationInfo).
// What exists keeps its owner and mode. Parents are assumed to be root's.
func (f *fileSystem) enter(p *accessPoint) (*fakelauncher.Dir, error) {
	dir, err := f.root.Sub(p.path())
	if info := p.creationInfo(); errors.Is(err, fs.ErrNotExist) && info != nil {
		mode, parseErr := strconv.ParseUint(*info.Permissions, 8, 32)
		err = errors.Join(parseErr,
			f.root.MkdirAll(path.Dir(p.path()), 0o755),
			f.root.Mkdir(p.path(), 0),
			f.root.Chown(p.path(), uint32(*info.OwnerUid), uint32(*info.OwnerGid)),
			f.root.Chmod(p.path(), posixMode(mode)))
		if err == nil {
			dir, err = f.root.Sub(p.path())
		}
	}
	if err != nil {
		return nil, err
	}
	u := p.in.PosixUser
	if u == nil {
		return dir, nil
	}
	user := launcher.User{UID: uint32(*u.Uid), GID: uint32(*u.Gid)}
	for _, gid := range u.SecondaryGids {
		user.Groups = append(user.Groups, uint32(gid))
	}
	return dir.As(user), nil
}

// posixMode translates the octal number that chmod(1) takes.
func posixMode(octal uint64) fs.FileMode {
	mode := fs.FileMode(octal) & fs.ModePerm
	if octal&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if octal&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
