package image_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/image"
)

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestParse(t *testing.T) {
	for in, want := range map[string]image.Reference{
		"ubuntu":                               {Registry: "docker.io", Repository: "library/ubuntu", Tag: "latest"},
		"ubuntu:24.04":                         {Registry: "docker.io", Repository: "library/ubuntu", Tag: "24.04"},
		"rocker/rstudio:4.5":                   {Registry: "docker.io", Repository: "rocker/rstudio", Tag: "4.5"},
		"docker.io/rocker/rstudio":             {Registry: "docker.io", Repository: "rocker/rstudio", Tag: "latest"},
		"index.docker.io/ubuntu":               {Registry: "docker.io", Repository: "library/ubuntu", Tag: "latest"},
		"Docker.IO/ubuntu":                     {Registry: "docker.io", Repository: "library/ubuntu", Tag: "latest"},
		"ubuntu@" + digestA:                    {Registry: "docker.io", Repository: "library/ubuntu", Digest: digestA},
		"ubuntu:24.04@" + digestA:              {Registry: "docker.io", Repository: "library/ubuntu", Tag: "24.04", Digest: digestA},
		"localhost/ide":                        {Registry: "localhost", Repository: "ide", Tag: "latest"},
		"localhost:5000/ide:dev":               {Registry: "localhost:5000", Repository: "ide", Tag: "dev"},
		"localhost:5000":                       {Registry: "docker.io", Repository: "library/localhost", Tag: "5000"},
		"[::1]:5000/ide":                       {Registry: "[::1]:5000", Repository: "ide", Tag: "latest"},
		"ghcr.io/acme/a/b/c:v1":                {Registry: "ghcr.io", Repository: "acme/a/b/c", Tag: "v1"},
		"GHCR.io/acme/ide":                     {Registry: "ghcr.io", Repository: "acme/ide", Tag: "latest"},
		"public.ecr.aws/docker/x/y:_1":         {Registry: "public.ecr.aws", Repository: "docker/x/y", Tag: "_1"},
		"a__b/c-----d.e_f:T.A-G":               {Registry: "docker.io", Repository: "a__b/c-----d.e_f", Tag: "T.A-G"},
		"x@sha512:" + strings.Repeat("0", 128): {Registry: "docker.io", Repository: "library/x", Digest: "sha512:" + strings.Repeat("0", 128)},
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/ide:1": {
			Registry: "123456789012.dkr.ecr.eu-west-1.amazonaws.com", Repository: "team/ide", Tag: "1"},
	} {
		got, err := image.Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", in, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, mention := range map[string][]string{
		"":                                      {"empty"},
		"Rocker/rstudio":                        {`repository "Rocker/rstudio"`, "lower-case"},
		"rocker/RStudio":                        {`repository "rocker/RStudio"`, "lower-case"},
		" ubuntu":                               {`repository "library/ ubuntu"`},
		"ubuntu\n":                              {`repository "library/ubuntu\n"`},
		"ubuntu:":                               {`tag ""`},
		"ubuntu:-x":                             {`tag "-x"`},
		"ubuntu:" + strings.Repeat("x", 129):    {"tag", "128"},
		"ubuntu@":                               {`digest ""`},
		"ubuntu@sha256:abc":                     {`digest "sha256:abc"`},
		"ubuntu@md5:" + strings.Repeat("a", 32): {"digest"},
		"ubuntu@sha256:" + strings.Repeat("A", 64): {"digest"},
		"ubuntu@" + digestA + "@" + digestA:        {"digest"},
		"\u212A.com/ide":                           {"registry \"\u212A.com\""}, // the Kelvin sign, whose lower case is k
		"/ubuntu":                                  {`repository "/ubuntu"`},
		"a//b":                                     {"repository"},
		"a/../b":                                   {"repository"},
		"a/b/":                                     {"repository"},
		"-a/b":                                     {"repository"},
		"a___b":                                    {"repository"},
		"a..b":                                     {"repository"},
		"ex ample.com/b":                           {"registry"},
		"-bad-.com/b":                              {`registry "-bad-.com"`},
		"host:port/b":                              {`registry "host:port"`},
		"https://ghcr.io/acme/ide":                 {`registry "https:"`},
		"ghcr.io/" + strings.Repeat("a", 256):      {"256 characters", "at most 255"},
		strings.Repeat("a", 64):                    {"id"},
		"-bad-.com/UP:-x@nonsense":                 {"registry", "repository", "tag", "digest"},
	} {
		got, err := image.Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, got)
			continue
		}
		if !errors.Is(err, image.ErrInvalid) {
			t.Errorf("Parse(%q): %v: want ErrInvalid", in, err)
		}
		if got != (image.Reference{}) {
			t.Errorf("Parse(%q) = %v beside an error", in, got)
		}
		for _, m := range mention {
			if !strings.Contains(err.Error(), m) {
				t.Errorf("Parse(%q): %q does not mention %q", in, err, m)
			}
		}
	}
}

// FuzzParse compares the grammar with the reference implementation's and
// holds that what is accepted can be printed and read back.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"ubuntu", "rocker/rstudio:4.5", "localhost:5000/a@" + digestA, "[::1]:5000/ide", "index.docker.io/x", "docker.io/library/x",
		"A.b/c", "A/b", "a/B", "a:b:c", "a@b@c", "::/", "@", "a_b.c__d--e/f:g", "x:y/z", strings.Repeat("a", 64), "[::]/a",
		"docker.io/x/y:z@" + digestA, "localhost", "LOCALHOST/x", "a.-b/c", "a..b/c", "0/0:0", "İ/x", "\u212A.com/x", "index.docker.io:443/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := image.Parse(s)
		oracle, oracleErr := reference.ParseDockerRef(s)
		if (err == nil) != (oracleErr == nil) && !differs(s, oracle) {
			t.Fatalf("Parse(%q) = %v, %v; the reference implementation says %v, %v", s, got, err, oracle, oracleErr)
		}
		if err != nil {
			return
		}
		if oracleErr == nil {
			if want := strings.ToLower(reference.Domain(oracle)); got.Registry != want && want != "index.docker.io" {
				t.Fatalf("Parse(%q).Registry = %q, want %q", s, got.Registry, want)
			}
			if want := reference.Path(oracle); got.Repository != want && got.Repository != "library/"+want {
				t.Fatalf("Parse(%q).Repository = %q, want %q", s, got.Repository, want)
			}
			if tagged, ok := oracle.(reference.Tagged); ok && got.Tag != tagged.Tag() {
				t.Fatalf("Parse(%q).Tag = %q, want %q", s, got.Tag, tagged.Tag())
			}
			if digested, ok := oracle.(reference.Digested); ok && got.Digest != digested.Digest().String() {
				t.Fatalf("Parse(%q).Digest = %q, want %q", s, got.Digest, digested.Digest())
			}
		}
		again, err := image.Parse(got.String())
		if err != nil || again != got {
			t.Fatalf("Parse(%q) = %#v; read back from %q: %#v, %v", s, got, got, again, err)
		}
	})
}

// differs names where this package means to differ from the reference
// implementation: it refuses digests by algorithms no registry uses, a first
// part that looks like a host and is none, where that one takes it for a
// path, and an upper-case one, which that takes for a host.
func differs(s string, oracle reference.Named) bool {
	if oracle == nil {
		return false
	}
	domain := reference.Domain(oracle)
	digested, ok := oracle.(reference.Digested)
	return domain == "" ||
		ok && digested.Digest().Algorithm() != "sha256" && digested.Digest().Algorithm() != "sha512" ||
		!strings.ContainsAny(domain, ".:") && !strings.EqualFold(domain, "localhost")
}

func TestWithDigest(t *testing.T) {
	r, err := image.Parse("rocker/rstudio:4.5")
	if err != nil {
		t.Fatal(err)
	}
	pinned := r.WithDigest(digestA)
	if r.Pinned() || !pinned.Pinned() {
		t.Errorf("Pinned: by tag %v, by digest %v", r.Pinned(), pinned.Pinned())
	}
	if got, want := pinned.String(), "docker.io/rocker/rstudio@"+digestA; got != want {
		t.Errorf("WithDigest = %s, want %s", got, want)
	}
}

func TestCheckArchitecture(t *testing.T) {
	ref, _ := image.Parse("rocker/rstudio@" + digestA)
	i := image.Image{Reference: ref, Platforms: []image.Platform{{"linux", "amd64"}, {"linux", "ppc64le"}, {"windows", "arm64"}}}
	for _, arch := range []string{"x86_64", "amd64"} {
		if err := i.CheckArchitecture(arch); err != nil {
			t.Errorf("CheckArchitecture(%s): %v", arch, err)
		}
	}
	err := i.CheckArchitecture("arm64")
	if !errors.Is(err, image.ErrPlatform) {
		t.Fatalf("CheckArchitecture(arm64): %v, want ErrPlatform", err)
	}
	for _, mention := range []string{"rocker/rstudio", "linux/arm64", "linux/amd64, linux/ppc64le, windows/arm64"} {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("%q does not mention %q", err, mention)
		}
	}
	if err := (image.Image{}).CheckArchitecture("i386"); !errors.Is(err, image.ErrPlatform) {
		t.Errorf("of an image without platforms: %v, want ErrPlatform", err)
	}
}
