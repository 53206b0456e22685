package image

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Reference names an image: a tag of a repository of a registry, or, for
// ever the same, a digest. Make it with [Parse].
type Reference struct {
	// Registry is the host, with a port if it is not the usual one
	// ("docker.io", "localhost:5000").
	Registry string
	// Repository is the path on the registry ("rocker/rstudio").
	Repository string
	// Tag is a name that can be moved from image to image. Empty only in
	// references by digest.
	Tag string
	// Digest is the hash of the image's manifest or index ("sha256:" and 64
	// hexadecimal digits). Empty in references by tag alone.
	Digest string
}

const (
	dockerHub = "docker.io"
	// maxRepository is the limit of the distribution reference grammar.
	maxRepository = 255
)

// The grammar of distribution references, as written down in
// https://pkg.go.dev/github.com/distribution/reference.
var (
	registryPattern = regexp.MustCompile(`^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])` +
		`(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$`)
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*` +
		`(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestPattern     = regexp.MustCompile(`^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
	identifierPattern = regexp.MustCompile(`^[a-f0-9]{64}$`)
)

// Parse reads a reference as container engines do. A name without a registry
// is Docker Hub's ("rocker/rstudio" is "docker.io/rocker/rstudio", "ubuntu" is
// "docker.io/library/ubuntu"); without tag and digest the tag is "latest".
// Registries are compared as host names are, without regard to case.
//
// The error is [ErrInvalid] and names everything that is wrong.
func Parse(s string) (Reference, error) {
	r, err := parse(s)
	if err != nil {
		return Reference{}, &Error{Op: "parse", Reference: fmt.Sprintf("%.300q", s), Kind: ErrInvalid, Err: err}
	}
	return r, nil
}

func parse(s string) (Reference, error) {
	switch {
	case s == "":
		return Reference{}, errors.New(`it is empty: want a name such as "rocker/rstudio:4.5"`)
	case identifierPattern.MatchString(s):
		return Reference{}, errors.New("it is the id of an image: want a repository and a digest, name@sha256:digest")
	}
	name, digest, hasDigest := strings.Cut(s, "@")
	var tag string
	colon := strings.LastIndexByte(name, ':')
	hasTag := colon > strings.LastIndexByte(name, '/')
	if hasTag {
		name, tag = name[:colon], name[colon+1:]
	}
	r := split(name)
	r.Tag, r.Digest = tag, digest
	if !hasTag && !hasDigest {
		r.Tag = "latest"
	}
	var problems []error
	if !registryPattern.MatchString(r.Registry) {
		problems = append(problems, fmt.Errorf("registry %q: want a host name, with :port if need be", r.Registry))
	}
	if err := checkRepository(r.Repository); err != nil {
		problems = append(problems, err)
	}
	if (hasTag || !hasDigest) && !tagPattern.MatchString(r.Tag) {
		problems = append(problems, fmt.Errorf("tag %q: want 1 to 128 letters, digits and . _ -, not beginning with . or -", r.Tag))
	}
	if hasDigest && !digestPattern.MatchString(r.Digest) {
		problems = append(problems, fmt.Errorf("digest %q: want sha256: and 64 digits 0-9 a-f (or sha512: and 128)", r.Digest))
	}
	return r, errors.Join(problems...)
}

// split finds the registry in a name: its first part, if that could not be the
// first part of a path on Docker Hub.
func split(name string) Reference {
	host, path, slash := strings.Cut(name, "/")
	if !slash || !strings.ContainsAny(host, ".:") && !strings.EqualFold(host, "localhost") {
		host, path = dockerHub, name
	}
	if registryPattern.MatchString(host) { // else it may not be ASCII
		host = strings.ToLower(host)
	}
	if host == "index.docker.io" {
		host = dockerHub
	}
	if host == dockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return Reference{Registry: host, Repository: path}
}

func checkRepository(path string) error {
	switch {
	case len(path) > maxRepository:
		return fmt.Errorf("repository of %d characters: want at most %d", len(path), maxRepository)
	case repositoryPattern.MatchString(path):
		return nil
	case repositoryPattern.MatchString(strings.ToLower(path)):
		return fmt.Errorf("repository %q: want lower-case letters", path)
	}
	return fmt.Errorf("repository %q: want parts of a-z and 0-9, with single . or _ or __ or hyphens inside, between slashes", path)
}

// validate reports what is wrong with a reference that need not come from Parse.
func (r Reference) validate() error {
	parsed, err := parse(r.String())
	if err != nil {
		return err
	}
	if parsed != r {
		return fmt.Errorf("it is not in normal form: %#v, want %#v; use image.Parse", r, parsed)
	}
	return nil
}

// String returns the reference in full, "registry/repository:tag@digest" with
// what is set of the last two. [Parse] reads it back.
func (r Reference) String() string {
	s := r.Registry + "/" + r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Pinned reports whether r names the same image for ever: whether it has a
// digest.
func (r Reference) Pinned() bool { return r.Digest != "" }

// WithDigest returns the reference of a digest in r's repository, without a
// tag, so that references to one image are equal whatever tag led to it.
func (r Reference) WithDigest(digest string) Reference {
	r.Tag, r.Digest = "", digest
	return r
}
