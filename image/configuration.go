package image

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Configuration is what the configuration of an image says of how it was made, for one
// platform. It does not tell what is in the image: for that its layers would have to be
// downloaded.
type Configuration struct {
	// Env are the environment variables that a container begins with, by their names.
	Env map[string]string
	// History are the instructions that made the image, the oldest first, as the builder
	// recorded them ("ARG VERSION=1"). It can lack all of them.
	History []string
}

// Configuration asks the registry of ref for the configuration of its image for a platform.
// A reference with a digest is looked up by the digest, also if it has a tag. An image that
// has none for the platform is [ErrPlatform].
func (c *Client) Configuration(ctx context.Context, ref Reference, p Platform) (Configuration, error) {
	const op = "configuration"
	if err := ctx.Err(); err != nil {
		return Configuration{}, err
	}
	if err := ref.validate(); err != nil {
		return Configuration{}, &Error{Op: op, Reference: ref.String(), Kind: ErrInvalid, Err: err}
	}
	config, err := configuration(ctx, c.source(ref), ref, p)
	switch {
	case err == nil:
		return config, nil
	case ctx.Err() != nil:
		return Configuration{}, ctx.Err()
	}
	return Configuration{}, failed(op, ref.String(), err)
}

func configuration(ctx context.Context, s source, ref Reference, p Platform) (Configuration, error) {
	d, ref, err := pinned(ctx, s, ref)
	if err != nil {
		return Configuration{}, err
	}
	if d.mediaType == ocispec.MediaTypeImageIndex || d.mediaType == dockerList {
		if d, err = ofPlatform(ctx, s, ref, d, p); err != nil {
			return Configuration{}, err
		}
	}
	m, err := d.manifest()
	if err != nil {
		return Configuration{}, err
	}
	config, err := readConfig(ctx, s, ref, m)
	if err != nil {
		return Configuration{}, err
	}
	if is := (Platform{config.OS, config.Architecture}); is != p {
		return Configuration{}, wrongPlatform("it is for %s, not for %s", is, p)
	}
	found := Configuration{Env: map[string]string{}}
	for _, line := range config.Config.Env {
		name, value, _ := strings.Cut(line, "=")
		found.Env[name] = value
	}
	for _, h := range config.History {
		found.History = append(found.History, h.CreatedBy)
	}
	return found, nil
}

// ofPlatform fetches the manifest that an index has for a platform, the first if there are
// several.
func ofPlatform(ctx context.Context, s source, ref Reference, top document, p Platform) (document, error) {
	index, err := top.index()
	if err != nil {
		return document{}, err
	}
	i := slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool {
		return (d.MediaType == ocispec.MediaTypeImageManifest || d.MediaType == dockerManifest) && d.Platform != nil && p == Platform{d.Platform.OS, d.Platform.Architecture}
	})
	if i < 0 {
		return document{}, wrongPlatform("it has no manifest for %s", p)
	}
	documents, err := s.manifests(ctx, ref, []digest.Digest{index.Manifests[i].Digest})
	if err != nil {
		return document{}, err
	}
	return documents[0], documents[0].verify(index.Manifests[i].Digest.String())
}
