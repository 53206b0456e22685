package fakeaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// An Image is a container image to push with [Cloud.PushImage]. The zero value
// is an image of 1 GiB for linux/amd64 whose program ends at once with code 0.
type Image struct {
	// Program is what a container of the image runs, on every platform.
	Program fakelauncher.Program
	// Platforms are what the image is for, as "os/architecture". Empty is
	// linux/amd64. Of one platform a manifest is pushed, of several an index.
	Platforms []string
	// Size is the size of the compressed layer of each platform, in bytes.
	// Zero is 1 GiB.
	Size int64
	// Env are the environment variables in its configuration, as "NAME=value", and
	// History the instructions that made it ("ARG VERSION=1"), which a builder
	// records there.
	Env, History []string
}

func (i Image) withDefaults() Image {
	if i.Program == nil {
		i.Program = func(context.Context, *fakelauncher.Proc) int { return 0 }
	}
	if len(i.Platforms) == 0 {
		i.Platforms = []string{"linux/amd64"}
	}
	if i.Size == 0 {
		i.Size = 1 << 30
	}
	return i
}

// images is every registry: the account's own in Amazon ECR and all others.
type images struct {
	repositories map[string]*repository // by registry and path
	logins       map[string]login       // of protected repositories
	pushes       map[string]int         // by path and tag
}

// A repository holds what was pushed to it, by digest.
type repository struct {
	tags      map[string]digest.Digest
	manifests map[digest.Digest]content
	configs   map[digest.Digest]content
	layers    map[digest.Digest]bool
	pulled    map[digest.Digest]pulled // what a host gets
}

// content is a document as it is served.
type content struct {
	mediaType string
	body      []byte
}

func (c content) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: c.mediaType, Digest: digest.FromBytes(c.body), Size: int64(len(c.body))}
}

type pulled struct {
	program   fakelauncher.Program
	platforms []string
	size      int64
}

type login struct{ username, password string }

// PushImage puts an image into a registry, any that reference names as
// container engines read it: the account's own in Amazon ECR
// ("123456789012.dkr.ecr.us-east-1.amazonaws.com/name:tag"), Docker Hub
// ("rocker/rstudio:4.5"), or another. It makes the repository if there is none,
// as ECR does not, and returns the digest.
//
// Manifests, index and configurations are real, by their true digests, and
// the same in every run: they follow from the path, the tag, the platforms,
// the size, what the configuration says, and how often that path and tag were
// pushed to this registry.
// Pushing a tag again moves it; the image it named stays under its digest. The
// layers have a digest and a size and no content to download.
func (c *Cloud) PushImage(reference string, image Image) (digest string, err error) {
	ref, err := parseReference(reference)
	if err == nil && isDigest(ref.Reference) {
		err = errors.New("an image is pushed by tag: its digest follows from its content")
	}
	problems := []error{err}
	image = image.withDefaults()
	for i, p := range image.Platforms {
		if os, arch, ok := strings.Cut(p, "/"); !ok || os == "" || arch == "" || strings.Contains(arch, "/") {
			problems = append(problems, fmt.Errorf("platform %q: want one such as linux/arm64", p))
		}
		if slices.Contains(image.Platforms[:i], p) {
			problems = append(problems, fmt.Errorf("platform %q is there twice", p))
		}
	}
	if image.Size < 0 {
		problems = append(problems, fmt.Errorf("size is negative: %d", image.Size))
	}
	if isECRHost(ref.Registry) && ref.Registry != c.ecrRegistry() {
		problems = append(problems, fmt.Errorf("the account's registry in Amazon ECR is %s", c.ecrRegistry()))
	}
	if err := errors.Join(problems...); err != nil {
		return "", fmt.Errorf("fakeaws: push %q: %w", reference, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.images.push(ref, image).String(), nil
}

// push builds and stores an image.
func (s *images) push(ref registry.Reference, image Image) digest.Digest {
	if s.repositories == nil {
		s.repositories, s.pushes = map[string]*repository{}, map[string]int{}
	}
	name := repositoryName(ref)
	r := s.repositories[name]
	if r == nil {
		r = &repository{
			tags: map[string]digest.Digest{}, manifests: map[digest.Digest]content{},
			configs: map[digest.Digest]content{}, layers: map[digest.Digest]bool{}, pulled: map[digest.Digest]pulled{},
		}
		s.repositories[name] = r
	}
	s.pushes[ref.String()]++
	revision := fmt.Sprint(s.pushes[ref.String()])
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var top digest.Digest
	for _, platform := range image.Platforms {
		manifest := r.addManifest(ref, revision, platform, image)
		index.Manifests = append(index.Manifests, manifest)
		top = manifest.Digest
	}
	if len(index.Manifests) > 1 {
		document := encode(ocispec.MediaTypeImageIndex, index)
		top = document.descriptor().Digest
		r.manifests[top] = document
		r.pulled[top] = pulled{image.Program, slices.Clone(image.Platforms), image.Size}
	}
	r.tags[ref.Reference] = top
	return top
}

// addManifest stores the manifest and configuration of one platform.
func (r *repository) addManifest(ref registry.Reference, revision, platform string, image Image) ocispec.Descriptor {
	os, arch, _ := strings.Cut(platform, "/")
	target := ocispec.Platform{OS: os, Architecture: arch}
	layer := digest.FromString(strings.Join([]string{ref.Repository, ref.Reference, revision, platform, fmt.Sprint(image.Size)}, "\n"))
	r.layers[layer] = true
	var history []ocispec.History
	for _, instruction := range image.History {
		history = append(history, ocispec.History{CreatedBy: instruction, EmptyLayer: true})
	}
	config := encode(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: target,
		Config: ocispec.ImageConfig{Env: image.Env, Labels: map[string]string{
			ocispec.AnnotationTitle: ref.Repository, ocispec.AnnotationVersion: ref.Reference, ocispec.AnnotationRevision: revision,
		}},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer}},
		History: history,
	})
	r.configs[config.descriptor().Digest] = config
	manifest := encode(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config.descriptor(),
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: layer, Size: image.Size}},
	})
	d := manifest.descriptor()
	r.manifests[d.Digest] = manifest
	r.pulled[d.Digest] = pulled{image.Program, []string{platform}, image.Size}
	d.Platform = &target
	return d
}

func encode(mediaType string, v any) content {
	body, _ := json.Marshal(v) // strings and numbers always have an encoding
	return content{mediaType, body}
}

// DeleteImage removes a tag, or, by digest, an image and every tag that names
// it. Hosts that run the image go on. Its repository stays.
func (c *Cloud) DeleteImage(reference string) error {
	ref, err := parseReference(reference)
	if err != nil {
		return fmt.Errorf("fakeaws: delete %q: %w", reference, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, r := c.images.find(ref)
	if _, ok := r.manifest(d); !ok {
		return fmt.Errorf("fakeaws: delete %q: there is no such image", reference)
	}
	if !isDigest(ref.Reference) {
		delete(r.tags, ref.Reference)
		return nil
	}
	delete(r.manifests, d)
	delete(r.pulled, d)
	for tag, named := range r.tags {
		if named == d {
			delete(r.tags, tag)
		}
	}
	return nil
}

// ProtectRepository makes the registry of a repository ("ghcr.io/acme/ide")
// ask for a name and password before it tells anything about it. It need not
// exist yet. Repositories of Amazon ECR are protected by AWS's permissions;
// see [Config.Deny].
func (c *Cloud) ProtectRepository(name, username, password string) error {
	ref, err := parseReference(name)
	var problems []error
	switch {
	case err != nil:
		problems = append(problems, err)
	case isECRHost(ref.Registry):
		problems = append(problems, errors.New("registries of Amazon ECR know no passwords"))
	}
	if username == "" || password == "" {
		problems = append(problems, errors.New("want a username and a password"))
	}
	if problems != nil {
		return fmt.Errorf("fakeaws: protect %q: %w", name, errors.Join(problems...))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.images.logins == nil {
		c.images.logins = map[string]login{}
	}
	c.images.logins[repositoryName(ref)] = login{username, password}
	return nil
}

// program is what a host of an architecture, in the words of the OCI image
// specification, gets when it pulls a reference. Hosts have no passwords for
// registries, and may pull from the account's own. It takes c.mu.
func (c *Cloud) program(reference, architecture string) (fakelauncher.Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := func(format string, args ...any) (fakelauncher.Image, error) {
		return fakelauncher.Image{}, &launcher.Error{
			Op: "pull", Kind: launcher.ErrImage, Err: fmt.Errorf("%s: "+format, append([]any{reference}, args...)...),
		}
	}
	ref, err := parseReference(reference)
	if err != nil {
		return refused("%w", err)
	}
	if _, ok := c.images.logins[repositoryName(ref)]; ok {
		return refused("pull access denied: the repository may require a login")
	}
	d, r := c.images.find(ref)
	if r == nil {
		return refused("the registry has no such repository")
	}
	image, ok := r.pulled[d]
	if !ok {
		return refused("the registry has no such image")
	}
	if !slices.Contains(image.platforms, "linux/"+architecture) {
		return refused("no matching manifest for linux/%s: it has %s", architecture, strings.Join(image.platforms, ", "))
	}
	return fakelauncher.Image{Program: image.program, SizeBytes: image.size, Architecture: architecture}, nil
}

// find looks a reference up. The repository is nil if there is none, the
// digest of a tag empty.
func (s *images) find(ref registry.Reference) (digest.Digest, *repository) {
	r := s.repositories[repositoryName(ref)]
	if isDigest(ref.Reference) {
		return digest.Digest(ref.Reference), r
	}
	if r == nil {
		return "", nil
	}
	return r.tags[ref.Reference], r
}

// manifest returns a manifest or index. r may be nil.
func (r *repository) manifest(d digest.Digest) (content, bool) {
	if r == nil {
		return content{}, false
	}
	m, ok := r.manifests[d]
	return m, ok
}

// parseReference reads a reference as container engines do, with "latest" for
// the tag that is not there.
func parseReference(s string) (registry.Reference, error) {
	host, path, slash := strings.Cut(s, "/")
	host = strings.ToLower(host)
	if !slash || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, path = "docker.io", s
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	ref, err := registry.ParseReference(host + "/" + path)
	ref.Reference = ref.ReferenceOrDefault()
	return ref, err
}

func isDigest(reference string) bool { return strings.Contains(reference, ":") }

func repositoryName(ref registry.Reference) string { return ref.Registry + "/" + ref.Repository }
