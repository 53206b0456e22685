package domain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/image"
)

// An Image is a container image that users of a domain may run. The embedded
// Reference is by digest.
type Image struct {
	// Name is what users call it, unique in the domain.
	Name string
	// Source is the reference it was attached by ("rocker/rstudio:4.5").
	Source string
	image.Image
	// Default is whether it runs when no image is named.
	Default bool
	// Attached is when Source was resolved.
	Attached time.Time
}

// AttachRequest names an image to attach.
type AttachRequest struct {
	// Name is what users call it: 1 to 20 of a-z, 0-9 and hyphen, beginning
	// with a letter. Required. A portal maps titles of its own to such names.
	Name string
	// Reference is where it is, by tag or digest ("rocker/rstudio:4.5").
	// Required.
	Reference string
	// Default makes it the default image. The first image of a domain is it
	// in any case.
	Default bool
}

// Attach makes an image available to the domain's users. Its tag is resolved
// now, by [Config.Images]: what is pushed to the tag later changes nothing
// until Attach is called again. Attaching another image under the same name
// moves the name to it: new sessions get the new one, running and suspended
// sessions keep the digest they were granted.
//
// An image that has no manifest for an architecture of EC2 hosts is
// [ErrInvalid]; one that the registry does not have, or does not give, is
// [ErrNotFound] or [ErrDenied].
func (d *Domain) Attach(ctx context.Context, q AttachRequest) (Image, error) {
	const op = "attach"
	name := d.name + "/" + printable(q.Name)
	var wrong problems
	wrong.add("name", ErrInvalid, CheckName("image", q.Name))
	ref, err := image.Parse(q.Reference)
	wrong.add("reference", ErrInvalid, err)
	if err := wrong.err(op, name); err != nil {
		return Image{}, err
	}
	r, err := d.load(ctx, op)
	if err != nil {
		return Image{}, err
	}
	if err := r.open(); err != nil { // before the registry is troubled
		return Image{}, &Error{Op: op, Name: d.name, Kind: ErrState, Err: err}
	}
	found, err := d.client.images.Resolve(ctx, ref)
	if err != nil {
		return Image{}, fail(ctx, op, name, err)
	}
	x86, arm := found.CheckArchitecture("x86_64"), found.CheckArchitecture("arm64")
	if x86 != nil && arm != nil {
		return Image{}, &Error{Op: op, Name: name, Kind: ErrInvalid, Err: errors.Join(x86, arm)}
	}
	img := Image{Name: q.Name, Source: q.Reference, Image: found, Attached: time.Now()}
	err = d.change(ctx, op, func(r *record) error {
		if r.Images == nil {
			r.Images = map[string]Image{}
		}
		if q.Default || r.DefaultImage == "" {
			r.DefaultImage = q.Name
		}
		r.Images[q.Name] = img
		img.Default = r.DefaultImage == q.Name
		return nil
	})
	if err != nil {
		return Image{}, err
	}
	return img, nil
}

// Detach takes an image away from the domain's users: sessions that run keep
// it, suspended ones cannot be resumed. The default image is refused with
// [ErrState] as long as others are attached; set another default first. An
// image that is not attached is [ErrNotFound].
func (d *Domain) Detach(ctx context.Context, name string) error {
	return d.alterImage(ctx, "detach", name, func(r *record) error {
		if name == r.DefaultImage {
			if len(r.Images) > 1 {
				return &Error{Op: "detach", Name: d.name + "/" + name, Kind: ErrState,
					Err: errors.New("it is the default image; make another the default first")}
			}
			r.DefaultImage = ""
		}
		delete(r.Images, name)
		return nil
	})
}

// SetDefaultImage makes an attached image the one that runs when none is
// named. An image that is not attached is [ErrNotFound].
func (d *Domain) SetDefaultImage(ctx context.Context, name string) error {
	return d.alterImage(ctx, "set default image", name, func(r *record) error {
		if r.DefaultImage == name {
			return store.ErrUnchanged
		}
		r.DefaultImage = name
		return nil
	})
}

func (d *Domain) alterImage(ctx context.Context, op, name string, alter func(*record) error) error {
	full := d.name + "/" + printable(name)
	if err := CheckName("image", name); err != nil {
		return &Error{Op: op, Name: full, Kind: ErrInvalid, Err: err}
	}
	return d.change(ctx, op, func(r *record) error {
		if _, ok := r.Images[name]; !ok {
			return &Error{Op: op, Name: full, Kind: ErrNotFound, Err: fmt.Errorf("the image is not attached; attached: %s", r.attached())}
		}
		return alter(r)
	})
}

// Images yields the attached images in the order of their names. It is
// complete or ends with an error.
func (d *Domain) Images(ctx context.Context) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		r, err := d.load(ctx, "images")
		if err != nil {
			yield(Image{}, err)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(r.Images)) {
			if !yield(r.image(name), nil) {
				return
			}
		}
	}
}

// image returns an attached image, or the zero Image.
func (r record) image(name string) Image {
	img := r.Images[name]
	img.Default = img.Name != "" && name == r.DefaultImage
	return img
}

// attached lists names of attached images for a message.
func (r record) attached() string {
	const most = 10
	return enumerate(slices.Sorted(maps.Keys(r.Images)), most)
}
