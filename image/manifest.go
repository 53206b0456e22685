package image

import (
	"cmp"
	"context"
	_ "crypto/sha256" // for digests
	_ "crypto/sha512" // for digests
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Docker's media types, which registries still hold beside OCI's.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// mediaTypes is what a registry is asked for, indexes first: a registry that
// could give either gives all platforms.
func mediaTypes() []string {
	return []string{ocispec.MediaTypeImageIndex, dockerList, ocispec.MediaTypeImageManifest, dockerManifest}
}

// maxDocument bounds what is read of a manifest, index or configuration: 4 MiB,
// the least that the OCI distribution specification has registries accept.
const maxDocument = 4 << 20

// maxLayer bounds the size a layer may claim, 1 TiB, so that no sum of those
// that fit in a manifest overflows.
const maxLayer = 1 << 40

// A document is a manifest or an index as the registry holds it.
type document struct {
	mediaType string
	digest    digest.Digest
	body      []byte
}

// A source is one repository to read from.
type source interface {
	// manifest fetches by tag or digest, whichever ref has, digest first.
	manifest(ctx context.Context, ref Reference) (document, error)
	// manifests fetches several by digest, in the order asked.
	manifests(ctx context.Context, ref Reference, digests []digest.Digest) ([]document, error)
	// config fetches the configuration of an image.
	config(ctx context.Context, ref Reference, d ocispec.Descriptor) ([]byte, error)
}

// describe reads an image from its repository.
func describe(ctx context.Context, s source, ref Reference) (Image, error) {
	top, ref, err := pinned(ctx, s, ref)
	if err != nil {
		return Image{}, err
	}
	image := Image{Reference: ref}
	switch top.mediaType {
	case ocispec.MediaTypeImageIndex, dockerList:
		err = image.addIndex(ctx, s, top)
	case ocispec.MediaTypeImageManifest, dockerManifest:
		err = image.addManifest(ctx, s, top)
	default:
		err = invalid("it holds a %q: want a container image", top.mediaType)
	}
	if err != nil {
		return Image{}, err
	}
	slices.SortFunc(image.Platforms, func(a, b Platform) int {
		return cmp.Or(cmp.Compare(a.OS, b.OS), cmp.Compare(a.Architecture, b.Architecture))
	})
	return image, nil
}

// pinned fetches what a reference names, with the reference to just that.
func pinned(ctx context.Context, s source, ref Reference) (document, Reference, error) {
	top, err := s.manifest(ctx, ref)
	if err == nil {
		err = top.verify(ref.Digest)
	}
	if err != nil {
		return document{}, ref, err
	}
	return top, ref.WithDigest(top.digest.String()), nil
}

// addIndex adds the platforms of an index and the size of the largest image a
// host can run. Only those manifests are fetched, the first of each platform:
// some registries count each against a pull limit.
func (i *Image) addIndex(ctx context.Context, s source, top document) error {
	index, err := top.index()
	if err != nil {
		return err
	}
	var runnable []digest.Digest
	for _, d := range index.Manifests {
		if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != dockerManifest || d.Platform == nil {
			continue // signatures, charts, nested indexes
		}
		p := Platform{d.Platform.OS, d.Platform.Architecture}
		if p.OS == "unknown" || p.Architecture == "unknown" {
			continue // BuildKit's attestations
		}
		if slices.Contains(i.Platforms, p) {
			continue // another variant, such as linux/arm/v6 beside v7
		}
		i.Platforms = append(i.Platforms, p)
		if p.onHosts() {
			runnable = append(runnable, d.Digest)
		}
	}
	if len(i.Platforms) == 0 {
		return invalid("its index lists no container image")
	}
	if len(runnable) == 0 {
		return nil
	}
	documents, err := s.manifests(ctx, i.Reference, runnable)
	if err != nil {
		return err
	}
	for n, d := range documents {
		if err := d.verify(runnable[n].String()); err != nil {
			return err
		}
		m, err := d.manifest()
		if err != nil {
			return err
		}
		i.Size = max(i.Size, size(m))
	}
	return nil
}

// addManifest adds the platform and size of an image for a single platform,
// which only its configuration tells.
func (i *Image) addManifest(ctx context.Context, s source, top document) error {
	m, err := top.manifest()
	if err != nil {
		return err
	}
	config, err := readConfig(ctx, s, i.Reference, m)
	if err != nil {
		return err
	}
	p := Platform{config.OS, config.Architecture}
	i.Platforms = []Platform{p}
	if p.onHosts() {
		i.Size = size(m)
	}
	return nil
}

// readConfig fetches and checks the configuration of a manifest.
func readConfig(ctx context.Context, s source, ref Reference, m ocispec.Manifest) (ocispec.Image, error) {
	var config ocispec.Image
	body, err := s.config(ctx, ref, m.Config)
	if err != nil {
		return config, err
	}
	if m.Config.Digest.Algorithm().FromBytes(body) != m.Config.Digest {
		return config, unavailable("the registry's configuration does not have the digest it was asked for")
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return config, invalid("its configuration is malformed: %w", err)
	}
	if config.OS == "" || config.Architecture == "" {
		return config, invalid("its configuration names no operating system and architecture")
	}
	return config, nil
}

// verify checks the content against the digest it claims and, if there is one,
// the digest that was asked for.
func (d document) verify(want string) error {
	if err := d.digest.Validate(); err != nil {
		return unavailable("the registry's digest %q is malformed", d.digest)
	}
	if d.digest.Algorithm().FromBytes(d.body) != d.digest || want != "" && want != d.digest.String() {
		return unavailable("the registry's answer does not have the digest it was asked for")
	}
	return nil
}

// index reads d as an index.
func (d document) index() (index ocispec.Index, err error) {
	if err := json.Unmarshal(d.body, &index); err != nil {
		return index, invalid("its index is malformed: %w", err)
	}
	return index, nil
}

// manifest reads d as an image's manifest.
func (d document) manifest() (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(d.body, &m); err != nil {
		return m, invalid("its manifest is malformed: %w", err)
	}
	if t := m.Config.MediaType; t != ocispec.MediaTypeImageConfig && t != dockerConfig {
		return m, invalid("it holds a %q: want a container image", cmp.Or(m.ArtifactType, t))
	}
	if err := m.Config.Digest.Validate(); err != nil {
		return m, invalid("its manifest is malformed: configuration: %w", err)
	}
	for _, layer := range m.Layers {
		if layer.Size < 0 || layer.Size > maxLayer {
			return m, invalid("its manifest is malformed: a layer of %d bytes", layer.Size)
		}
	}
	if m.Config.Size < 0 || m.Config.Size > maxDocument {
		return m, invalid("its manifest is malformed: a configuration of %d bytes: want at most %d", m.Config.Size, maxDocument)
	}
	return m, nil
}

// size is what has to be downloaded of one manifest.
func size(m ocispec.Manifest) int64 {
	total := m.Config.Size
	for _, layer := range m.Layers {
		total += layer.Size
	}
	return total
}

func invalid(format string, args ...any) error {
	return &failure{ErrInvalid, fmt.Errorf(format, args...)}
}

func wrongPlatform(format string, args ...any) error {
	return &failure{ErrPlatform, fmt.Errorf(format, args...)}
}

func unavailable(format string, args ...any) error {
	return &failure{ErrUnavailable, fmt.Errorf(format, args...)}
}
