package workbench

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
)

// DeployRequest says what host a domain is to have.
type DeployRequest struct {
	// Hosts is how many. Zero is one, which is all there can be.
	Hosts int
	// InstanceType is EC2's name of its type ("m7i.xlarge"), or SageMaker's.
	// Required. For which processors there is a Workbench, Posit's list of
	// platforms says.
	InstanceType string
	// Subnet is one of the domain's. It is where the address and the data are,
	// so it stays as the first Deploy has it. Empty is the domain's first.
	Subnet string
	// AMI is the machine image. Empty is the standard Amazon Linux 2023, as its
	// public parameter has it when an instance is launched. Another has cloud-init,
	// systemd, Python 3, curl, iproute2, the AWS CLI version 2, xfsprogs and either dnf
	// or the mount helper of EFS (amazon-efs-utils). Workbench's own account on it has
	// a uid below 1000, as its package makes it: the host's role is for such alone.
	AMI string
	// RootDevice is what the image calls its root volume, which is encrypted.
	// Empty is /dev/xvda, as Amazon Linux has it.
	RootDevice string
	// VolumeGiB is the size of the data disk, which is /var/lib/rstudio-server and
	// /var/lib/rstudio-launcher of the host, encrypted with the domain's key or else
	// AWS's own. It stays as the first Deploy has it. Zero is 50.
	VolumeGiB int32

	// Access is who reaches Port: ids of security groups and ranges of addresses,
	// IPv4 or IPv6 ("10.0.0.0/16"). The hosts of sessions, which call back, reach
	// it always. Empty is nobody else.
	Access []string
	// Port is where Workbench listens. Zero is 8787, its own
	// (https://docs.posit.co/ide/server-pro/reference/rserver_conf.html).
	Port int
	// URL is where [Client.Describe] asks for the health of Workbench, without a
	// path: "https://workbench.example.com". Empty is HTTP to the host's address
	// and Port.
	URL string

	// Files configure Workbench. Together they have to fit into one secret. One
	// that an earlier Deploy had and this has not is removed from the host.
	Files []File
	// Package is Workbench's own, an rpm or deb of the image's distribution. Zero
	// is that the image has it.
	Package Software
	// Plugin is the program that the Launcher runs, with its Path. Zero is that the
	// image has it, or Package brings it.
	Plugin Software
	// Accounts is a command of the host that prints the domain's accounts, each as
	// [Account.String] has it: a program's absolute path and arguments, without
	// spaces in either. It is run as root when the host boots and every minute.
	// Empty is that accounts come to the host otherwise.
	Accounts []string
	// License is Workbench's. Zero is that the image or Files have it, or a trial.
	License License
	// SharedStorage is the name of a project of the domain, which the host has where
	// sessions have it: at /projects/ and the name. [Configuration.SharedStorage]
	// names the same. Who is to use Workbench has to be in one of the project's
	// groups, since every session asks for it and is refused otherwise. Empty is
	// none.
	SharedStorage string
	// Policies are IAM policy documents that the host's role has beside what it needs to
	// boot, by names of the caller's: what the program needs that Plugin is. One that
	// serves a fleet needs Policy().Launcher of that, Policy().Records of the store in
	// DynamoDB, and Policy(references...).Pull of package image for images in Amazon
	// ECR; the example has the three lines. A role holds
	// 10,240 characters, white space not counted, with what the host needs to boot:
	// what is too long is refused. An empty document is none.
	Policies map[string]string
}

// Software is a file that the host fetches when it boots for the first time.
type Software struct {
	// URL is where it is: https, without a query or a password, since neither it
	// nor SHA256 is kept secret. The host has no other credentials for it.
	URL string
	// SHA256 is the checksum of its content, 64 hexadecimal digits: another content
	// is refused.
	SHA256 string
	// Path is where the host has it, absolute; for Plugin alone, which is made
	// executable.
	Path string
}

// License is a licence for Workbench: one of Key, File and Server. The first two
// are ARNs of a secret in Secrets Manager or of a SecureString parameter of
// Systems Manager, whose text the host reads when it boots. With a customer's KMS
// key the host's role needs leave to decrypt by it, in Policies.
type License struct {
	// Key is the ARN of the product key. A host that is terminated keeps its
	// activation: with keys, deactivate it before [Client.Replace], or have Posit
	// do it.
	Key string
	// File is the ARN of the content of a licence file (".lic").
	File string
	// Server is the address of a licence server, which is no secret.
	Server string
}

// want is a request as it is recorded: without the files.
type want struct {
	InstanceType  string
	AMI           string `json:",omitempty"`
	RootDevice    string
	Access        []string `json:",omitempty"`
	Port          int
	URL           string            `json:",omitempty"`
	Package       Software          `json:",omitzero"`
	Plugin        Software          `json:",omitzero"`
	Accounts      []string          `json:",omitempty"`
	License       License           `json:",omitzero"`
	SharedStorage string            `json:",omitempty"`
	Policies      map[string]string `json:",omitempty"`
}

// Limits, with where they are from.
const (
	// mostSecret is what a secret holds
	// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html).
	mostSecret = 65536
	// mostPolicies is what inline policies of a role may have together, white space
	// not counted
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
	mostPolicies = 10240
	// mostVolume is the size of a gp3 volume
	// (https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html).
	mostVolume = 64 << 10

	defaultPort   = 8787
	defaultVolume = 50
)

var (
	amiPattern    = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	groupPattern  = regexp.MustCompile(`^sg-([0-9a-f]{8}|[0-9a-f]{17})$`)
	devicePattern = regexp.MustCompile(`^/dev/[a-z][a-z0-9]{1,15}$`)
	digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	policyPattern = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,128}$`)
	ownerPattern  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}:[a-z_][a-z0-9_-]{0,31}$`)
	// plainPattern is what a host's scripts take as it is.
	plainPattern  = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)
	serverPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?$`)
	secretPattern = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$`)
	paramPattern  = regexp.MustCompile(`^arn:aws[a-z-]*:ssm:([a-z0-9-]+):[0-9]{12}:parameter/[A-Za-z0-9/_.-]+$`)
)

// problems reports everything in q that the request alone shows to be wrong.
func (q DeployRequest) problems(region string, catalog *instancetype.Catalog) (found []error) {
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if q.Hosts < 0 || q.Hosts > 1 {
		bad("%d hosts: several Workbench hosts behind a load balancer are not supported; want 1", q.Hosts)
	}
	if _, err := linuxType(catalog, q.InstanceType); err != nil {
		bad("%w", err)
	}
	if q.AMI != "" && !amiPattern.MatchString(q.AMI) {
		bad(`AMI %.40q: want an identifier such as "ami-0123456789abcdef0"`, q.AMI)
	}
	if q.RootDevice != "" && !devicePattern.MatchString(q.RootDevice) {
		bad("root device %.40q: want a name such as /dev/xvda", q.RootDevice)
	}
	if q.VolumeGiB < 0 || q.VolumeGiB > mostVolume {
		bad("volume of %d GiB: want 1 to %d, or 0 for %d", q.VolumeGiB, mostVolume, defaultVolume)
	}
	for i, a := range q.Access {
		if slices.Contains(q.Access[:i], a) {
			bad("access %.60q is listed twice", a)
		}
		if p, err := netip.ParsePrefix(a); !groupPattern.MatchString(a) && (err != nil || p.Masked() != p) {
			bad("access %.60q: want a security group such as sg-0123456789abcdef0, or a range of addresses such as 10.0.0.0/16", a)
		}
	}
	if q.Port < 0 || q.Port > 65535 {
		bad("port %d: want 1 to 65535, or 0 for %d", q.Port, defaultPort)
	}
	if u, err := url.Parse(q.URL); q.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
		bad("URL %.80q: want one such as https://workbench.example.com", redacted(q.URL))
	}
	found = append(found, fileProblems(q.Files)...)
	found = append(found, q.Package.problems("package")...)
	if q.Package.Path != "" {
		bad("package: it has a path: what a package installs, it says itself")
	}
	found = append(found, q.Plugin.problems("plugin")...)
	if q.Plugin.URL != "" && !cleanPathOnHost(q.Plugin.Path) {
		bad("plugin: path %.80q: want an absolute path such as /usr/lib/rstudio-server/bin/rstudio-ec2-launcher", q.Plugin.Path)
	}
	for _, a := range q.Accounts {
		if !plainPattern.MatchString(a) {
			bad("accounts %.80q: want letters, digits and _ . / : = @ %% + , -", a)
		}
	}
	if len(q.Accounts) > 0 && !cleanPathOnHost(q.Accounts[0]) {
		bad("accounts: program %.80q: want an absolute path", q.Accounts[0])
	}
	found = append(found, q.License.problems(region)...)
	if s := q.SharedStorage; s != "" && !nameInDomain.MatchString(s) {
		bad("shared storage %.40q: %s", s, wantProject)
	}
	return append(found, policyProblems(q.Policies)...)
}

// linuxType finds a type that runs Linux.
func linuxType(catalog *instancetype.Catalog, name string) (instancetype.Type, error) {
	if name == "" {
		return instancetype.Type{}, errors.New(`instance type is missing: want a name such as "m7i.xlarge"`)
	}
	t, err := catalog.Type(name)
	if err == nil && t.Arch != instancetype.X86_64 && t.Arch != instancetype.ARM64 {
		err = fmt.Errorf("instance type %s: its processor runs no Linux", t.Name)
	}
	return t, err
}

func (s Software) problems(what string) (found []error) {
	if s == (Software{}) {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !plainPattern.MatchString(s.URL) {
		found = append(found, fmt.Errorf("%s: URL %.80q: want https://..., without a query, a password or characters to be escaped", what, redacted(s.URL)))
	}
	if !digestPattern.MatchString(s.SHA256) {
		found = append(found, fmt.Errorf("%s: SHA-256 %.80q: want 64 hexadecimal digits in lower case", what, s.SHA256))
	}
	return found
}

// redacted is a URL without what may be secret in it.
func redacted(text string) string {
	if before, _, ok := strings.Cut(text, "?"); ok {
		text = before + "?..."
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = "..." + text[i:]
	}
	return text
}

func (l License) problems(region string) (found []error) {
	n := 0
	for _, c := range []struct{ what, value string }{{"key", l.Key}, {"file", l.File}} {
		if c.value == "" {
			continue
		}
		n++
		// What was given in place of an ARN may be the licence itself.
		in := cmp.Or(submatch(secretPattern, c.value), submatch(paramPattern, c.value))
		switch {
		case in == "":
			found = append(found, fmt.Errorf("license: %s is not an ARN: want that of a secret or of a SecureString parameter which holds it", c.what))
		case in != region:
			found = append(found, fmt.Errorf("license: the %s is kept in %s, the host is in %s", c.what, in, region))
		}
	}
	if l.Server != "" {
		n++
		if !serverPattern.MatchString(l.Server) {
			found = append(found, fmt.Errorf("license: server %.80q: want a host, and a port if it has one of its own", l.Server))
		}
	}
	if n > 1 {
		found = append(found, errors.New("license: want one of a key, a file and a server"))
	}
	return found
}

func submatch(p *regexp.Regexp, text string) string {
	if m := p.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func fileProblems(files []File) (found []error) {
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	seen := map[string]bool{}
	for _, f := range files {
		switch {
		case !cleanPathOnHost(f.Path) || !plainPattern.MatchString(f.Path):
			bad("file %.80q: want an absolute path, without . or .. or a slash too many", f.Path)
		case seen[f.Path]:
			bad("file %.80q is listed twice", f.Path)
		case within(f.Path, "/home") || within(f.Path, "/usr/local/libexec/atelier") || within(f.Path, "/etc/systemd/system/atelier-workbench.service"):
			bad("file %.80q: what is there is not configuration", f.Path)
		}
		seen[f.Path] = true
		if f.Mode&^0o777 != 0 {
			bad("file %.80q: mode %v: want permission bits alone", f.Path, f.Mode)
		}
		if !ownerPattern.MatchString(f.Owner) {
			bad("file %.80q: owner %.80q: want a user and a group such as root:root", f.Path, f.Owner)
		}
	}
	if err := tooLarge(files); err != nil {
		bad("%w; leave out what is not secret and long, and put it into the image", err)
	}
	return found
}

// tooLarge says by how much files are more than a secret holds, or nil.
func tooLarge(files []File) error {
	n := len(bundle(files))
	if n <= mostSecret {
		return nil
	}
	most := slices.MaxFunc(files, func(a, b File) int { return cmp.Compare(len(a.Content), len(b.Content)) })
	return fmt.Errorf("the files have %d bytes as they are kept, with their names: one secret holds %d, and of %s alone %d would be kept", n, mostSecret, most.Path, len(bundle([]File{most})))
}

func policyProblems(policies map[string]string) (found []error) {
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		text := policies[name]
		if !policyPattern.MatchString(name) || name == ownPolicy {
			found = append(found, fmt.Errorf("policy %.60q: want a name of 1 to 128 letters, digits and + = , . @ _ -, and not %s", name, ownPolicy))
		}
		var p struct{ Statement json.RawMessage }
		if err := json.Unmarshal([]byte(text), &p); text != "" && (err != nil || p.Statement == nil) {
			found = append(found, fmt.Errorf("policy %.60q is no IAM policy document: want JSON with a Statement", name))
		}
	}
	return found
}

// sizeProblem is that policies are too long for a role beside the host's own.
func sizeProblem(policies map[string]string, own string) error {
	var lengths []string
	total := 0
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		n := policySize(policies[name])
		total += n
		lengths = append(lengths, fmt.Sprintf("%.60s %d", name, n))
	}
	if most := mostPolicies - policySize(own); total > most {
		return fmt.Errorf("the policies have %d characters, white space not counted (%s), and beside the host's own a role holds %d: shorten them, or attach one by other means",
			total, strings.Join(lengths, ", "), most)
	}
	return nil
}

// policySize is how long a policy document is as IAM counts.
func policySize(document string) int { return len(strings.Join(strings.Fields(document), "")) }

// cleanPathOnHost reports whether p is such a path in characters that a host's scripts
// take as they are.
func cleanPathOnHost(p string) bool {
	return cleanPath(p) && plainPattern.MatchString(p)
}

// want is q as it is recorded.
func (q DeployRequest) want(catalog *instancetype.Catalog) want {
	t, _ := linuxType(catalog, q.InstanceType) // which was checked
	policies := maps.Clone(q.Policies)
	maps.DeleteFunc(policies, func(_, text string) bool { return text == "" })
	return want{
		InstanceType: t.Name, AMI: q.AMI, RootDevice: cmp.Or(q.RootDevice, "/dev/xvda"),
		Access: slices.Sorted(slices.Values(q.Access)), Port: cmp.Or(q.Port, defaultPort), URL: strings.TrimSuffix(q.URL, "/"),
		Package: q.Package, Plugin: q.Plugin, Accounts: slices.Clone(q.Accounts), License: q.License,
		SharedStorage: q.SharedStorage, Policies: policies,
	}
}

// subnetOf chooses the subnet among the domain's.
func (q DeployRequest) subnetOf(d domain.Description) (domain.Subnet, error) {
	if q.Subnet == "" && len(d.Subnets) > 0 {
		return d.Subnets[0], nil
	}
	var known []string
	for _, s := range d.Subnets {
		if s.ID == q.Subnet {
			return s, nil
		}
		known = append(known, s.ID)
	}
	return domain.Subnet{}, fmt.Errorf("subnet %.40q is not the domain's: want one of %s", q.Subnet, strings.Join(known, ", "))
}
