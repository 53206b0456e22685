package workbench_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/workbench"
)

func init() {
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "write the golden files anew")
	}
}

// someKeys are made once: an RSA key takes a while.
var someKeys = sync.OnceValue(func() workbench.Keys {
	keys, err := workbench.NewKeys()
	if err != nil {
		panic(err)
	}
	return keys
})

// someCertificate signs itself.
var someCertificate = sync.OnceValue(func() workbench.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"workbench.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return workbench.Certificate{
		Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
})

func minimal() workbench.Configuration {
	return workbench.Configuration{
		CallbackAddress: "http://10.0.0.5:8787",
		Keys:            someKeys(),
		Plugin:          workbench.Plugin{Domain: "research", Region: "us-east-1"},
		Profiles:        []workbench.Profile{{Name: "t3.medium", CPUs: 2, MemoryMiB: 3809}},
		Menus:           []workbench.Menu{{Profiles: []string{"t3.medium"}, Images: []string{"rstudio"}}},
	}
}

func full() workbench.Configuration {
	return workbench.Configuration{
		CallbackAddress: "https://workbench.example.com/rstudio",
		Keys:            someKeys(),
		Plugin:          workbench.Plugin{Exe: "/opt/research/plugin", Domain: "research", Region: "eu-west-1", Store: "dynamodb:research"},
		Cluster:         "Research-EC2",
		Port:            8443,
		Certificate:     someCertificate(),
		Auth: workbench.Auth{
			OpenID: &workbench.OpenID{
				Issuer: "https://login.example.com/v2.0", UsernameClaim: "preferred_username", Scopes: []string{"openid", "profile"},
				ClientID: "workbench", ClientSecret: "s3cret=",
			},
			RequiredGroups: []workbench.Group{{Domain: "staff"}, {Unix: "Workbench.Users@example.com"}},
		},
		AdminGroup:    workbench.Group{Unix: "workbench-admins"},
		SharedStorage: "common",
		DataDirectory: "/var/lib/rstudio-server/db",
		Profiles: []workbench.Profile{
			{Name: "t3.medium", Title: "t3.medium (2 vCPU, 4 GiB, $0.0416 an hour)", CPUs: 2, MemoryMiB: 3809},
			{Name: "g4dn.xlarge", Title: "g4dn.xlarge (4 vCPU, 16 GiB, 1 T4, $0.526 an hour)", CPUs: 4, MemoryMiB: 15237, NvidiaGPUs: 1},
			{Name: "g4ad.xlarge", CPUs: 4, MemoryMiB: 15237, AMDGPUs: 1},
		},
		Menus: []workbench.Menu{ // in an order that is not that of the file
			{User: "jane.doe", Profiles: []string{"g4ad.xlarge"}, Images: []string{"rstudio"}},
			{Group: workbench.Group{Domain: "gpu"}, Profiles: []string{"t3.medium", "g4dn.xlarge"}, Images: []string{"rstudio", "torch"}, DefaultImage: "torch", MaxCPUs: 4, MaxMemoryMiB: 15237},
			{Profiles: []string{"t3.medium"}, Images: []string{"rstudio"}, MaxCPUs: 2, MaxMemoryMiB: 3809},
			{Group: workbench.Group{Unix: "ads"}, Profiles: []string{"t3.medium"}, Images: []string{"rstudio", "torch"}},
		},
		Mounts:      []workbench.Mount{{Path: "/mnt/genomes", ReadOnly: true}, {Path: "/mnt/scratch"}},
		Environment: []workbench.Variable{{Name: "CRAN", Value: "https://cran.example.com"}, {Name: "TEAM", Value: "data science: all of it"}},
		RStudio: workbench.RStudio{
			IdleTimeout: 90 * time.Minute, QuitWhenIdle: true, ConnectServer: "https://connect.example.com",
			NoExternalPublishing: true, RestrictDirectories: true,
		},
		Jupyter: workbench.Jupyter{
			Enabled: true, Exe: "/usr/local/bin/jupyter", Version: "4.2.5", Image: "torch", CullAfter: workbench.Never, ShutdownAfter: time.Hour,
		},
		VSCode:   workbench.Editor{Enabled: true, Image: "torch", Images: []string{"torch", "rstudio"}, KillAfter: 12 * time.Hour},
		Positron: workbench.Editor{Enabled: true},
		Logging:  workbench.Logging{Level: workbench.LevelDebug, JSON: true},
	}
}

func mustFiles(t testing.TB, c workbench.Configuration) []workbench.File {
	t.Helper()
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestConfigurationGolden shows every file. What is made anew for each test is left
// out; other tests look at it.
func TestConfigurationGolden(t *testing.T) {
	for name, c := range map[string]workbench.Configuration{"minimal": minimal(), "full": full()} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, f := range mustFiles(t, c) {
				made := slices.Contains([]string{".pem", ".pub", ".crt", ".key"}, filepath.Ext(f.Path)) || strings.HasSuffix(f.Path, "-key")
				text := string(f.Content)
				if made {
					text = "(made anew)\n"
				}
				fmt.Fprintf(&out, "-- %s %04o %s --\n%s", f.Path, f.Mode, f.Owner, text)
			}
			file := filepath.Join("testdata", "config-"+name+".golden")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestConfigurationReadBack reads every file as Workbench would, and compares with
// what was meant.
func TestConfigurationReadBack(t *testing.T) {
	files := mustFiles(t, full())
	plain := func(pairs ...string) []paragraph { return []paragraph{section("", pairs...)} }
	want := map[string][]paragraph{
		"rserver.conf": plain(
			"www-port", "8443", "server-health-check-enabled", "1", "secure-cookie-key-file", "/etc/rstudio/secure-cookie-key",
			"server-shared-storage-path", "/projects/common", "server-project-sharing", "0", "admin-enabled", "1", "admin-group", "workbench-admins",
			"launcher-sessions-enabled", "1", "launcher-address", "127.0.0.1", "launcher-port", "5559", "launcher-default-cluster", "Research-EC2",
			"launcher-sessions-callback-address", "https://workbench.example.com/rstudio", "launcher-sessions-container-image", "rstudio",
			"launcher-sessions-container-run-as-root", "0", "launcher-sessions-create-container-user", "0", "launcher-sessions-forward-container-environment", "1",
			"ssl-enabled", "1", "ssl-certificate", "/etc/rstudio/workbench.crt", "ssl-certificate-key", "/etc/rstudio/workbench.key",
			"auth-required-user-group", "group-staff,Workbench.Users@example.com", "auth-openid", "1", "auth-openid-issuer", "https://login.example.com/v2.0",
			"auth-openid-username-claim", "preferred_username", "auth-openid-scopes", "openid profile",
		),
		"openid-client-secret": plain("client-id", "workbench", "client-secret", "s3cret="),
		"launcher.conf": {
			section("server", "address", "127.0.0.1", "port", "5559", "server-user", "rstudio-server", "admin-group", "rstudio-server",
				"authorization-enabled", "1", "secure-cookie-key-file", "/etc/rstudio/secure-cookie-key", "enable-debug-logging", "1"),
			section("cluster", "name", "Research-EC2", "type", "Plugin", "exe", "/opt/research/plugin"),
		},
		"launcher.research-ec2.conf": plain("domain", "research", "region", "eu-west-1", "store", "dynamodb:research"),
		"launcher.research-ec2.resources.conf": {
			section("t3.medium", "name", "t3.medium (2 vCPU, 4 GiB, $0.0416 an hour)", "cpus", "2", "mem-mb", "3994"),
			section("g4dn.xlarge", "name", "g4dn.xlarge (4 vCPU, 16 GiB, 1 T4, $0.526 an hour)", "cpus", "4", "mem-mb", "15977", "nvidia-gpus", "1"),
			section("g4ad.xlarge", "name", "g4ad.xlarge", "cpus", "4", "mem-mb", "15977", "amd-gpus", "1"),
		},
		"launcher.research-ec2.profiles.conf": {
			section("*", "container-images", "rstudio", "default-container-image", "rstudio", "allow-unknown-images", "0", "resource-profiles", "t3.medium",
				"allow-custom-resources", "1", "default-cpus", "2", "default-mem-mb", "3994", "max-cpus", "2", "max-mem-mb", "3994"),
			section("@group-gpu", "container-images", "rstudio,torch", "default-container-image", "torch", "allow-unknown-images", "0", "resource-profiles", "t3.medium,g4dn.xlarge",
				"allow-custom-resources", "1", "default-cpus", "2", "default-mem-mb", "3994", "max-cpus", "4", "max-mem-mb", "15977"),
			section("@ads", "container-images", "rstudio,torch", "default-container-image", "rstudio", "allow-unknown-images", "0", "resource-profiles", "t3.medium",
				"allow-custom-resources", "0"),
			section("jane.doe", "container-images", "rstudio", "default-container-image", "rstudio", "allow-unknown-images", "0", "resource-profiles", "g4ad.xlarge",
				"allow-custom-resources", "0"),
		},
		"launcher-mounts": {
			section("", "Path", "/home/{USER}", "MountPath", "/home/{USER}", "ReadOnly", "false"),
			section("", "Path", "/projects/common", "MountPath", "/projects/common", "ReadOnly", "false"),
			section("", "Path", "/mnt/genomes", "MountPath", "/mnt/genomes", "ReadOnly", "true"),
			section("", "Path", "/mnt/scratch", "MountPath", "/mnt/scratch", "ReadOnly", "false"),
		},
		"launcher-env": plain("JobType", "any", "Environment", "CRAN=https://cran.example.com\nTEAM=data science: all of it"),
		"jupyter.conf": plain("labs-enabled", "1", "notebooks-enabled", "0", "jupyter-exe", "/usr/local/bin/jupyter", "lab-version", "4.2.5",
			"default-session-container-image", "torch", "session-cull-minutes", "0", "session-shutdown-minutes", "60"),
		"vscode.conf":   plain("enabled", "1", "default-session-container-image", "torch", "session-container-images", "torch,rstudio", "session-timeout-kill-hours", "12"),
		"positron.conf": plain("enabled", "1"),
		"rsession.conf": plain("session-timeout-minutes", "90", "session-timeout-suspend", "0", "default-rsconnect-server", "https://connect.example.com",
			"allow-external-publish", "0", "restrict-directory-view", "1"),
		"database.conf": plain("provider", "sqlite", "directory", "/var/lib/rstudio-server/db"),
		"logging.conf":  {section("*", "log-level", "debug", "logger-type", "file", "log-message-format", "json")},
	}
	for name, paragraphs := range want {
		if diff := cmp.Diff(paragraphs, read(t, files, name), cmp.AllowUnexported(paragraph{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	others := []string{"launcher.pem", "launcher.pub", "secure-cookie-key", "workbench.crt", "workbench.key"}
	if len(files) != len(want)+len(others) {
		t.Errorf("%d files, of which this test has read %d", len(files), len(want)+len(others))
	}
	c := full()
	c.Auth.OpenID, c.Auth.SAML = nil, &workbench.SAML{MetadataURL: "https://idp.example.com/metadata", UsernameAttribute: "NameID", BaseURI: "https://workbench.example.com"}
	got := read(t, mustFiles(t, c), "rserver.conf")[0].values
	for key, value := range map[string]string{"auth-saml": "1", "auth-saml-metadata-url": "https://idp.example.com/metadata",
		"auth-saml-sp-attribute-username": "NameID", "auth-saml-sp-base-uri": "https://workbench.example.com"} {
		if got[key] != value {
			t.Errorf("%s=%q, want %q", key, got[key], value)
		}
	}
}

func section(name string, pairs ...string) paragraph {
	p := paragraph{name, map[string]string{}}
	for pair := range slices.Chunk(pairs, 2) {
		p.values[pair[0]] = pair[1]
	}
	return p
}

func TestConfigurationFilesAreSortedAndTheSame(t *testing.T) {
	a, b := mustFiles(t, full()), mustFiles(t, full())
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	if !slices.IsSortedFunc(a, func(x, y workbench.File) int { return strings.Compare(x.Path, y.Path) }) {
		t.Errorf("not sorted: %v", a)
	}
}

// TestSecretFiles holds that what is secret is for one user, and nothing else is.
func TestSecretFiles(t *testing.T) {
	private := map[string]string{
		"launcher.pem": "rstudio-server:rstudio-server", "secure-cookie-key": "rstudio-server:rstudio-server",
		"workbench.key": "rstudio-server:rstudio-server", "openid-client-secret": "rstudio-server:rstudio-server", "database.conf": "root:root",
	}
	c := full()
	for _, f := range mustFiles(t, c) {
		mode, owner := fs.FileMode(0o644), f.Owner
		if o, ok := private[filepath.Base(f.Path)]; ok {
			mode, owner = 0o600, o
			delete(private, filepath.Base(f.Path))
		} else {
			for _, secret := range []string{c.Keys.Cookie, "PRIVATE KEY", c.Auth.OpenID.ClientSecret} {
				if bytes.Contains(f.Content, []byte(secret)) {
					t.Errorf("%v has a secret in it", f)
				}
			}
		}
		if f.Mode != mode || f.Owner != owner {
			t.Errorf("%v, want mode %04o and owner %s", f, mode, owner)
		}
	}
	if len(private) > 0 {
		t.Errorf("no file %v", private)
	}
}

func TestKeyFiles(t *testing.T) {
	c := minimal()
	files := mustFiles(t, c)
	block, _ := pem.Decode(content(t, files, "launcher.pem"))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pem.Decode(content(t, files, "launcher.pub"))
	if public.Type != "PUBLIC KEY" {
		t.Errorf("launcher.pub is a %s", public.Type)
	}
	got, err := x509.ParsePKIXPublicKey(public.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !key.(*rsa.PrivateKey).PublicKey.Equal(got) || key.(*rsa.PrivateKey).N.BitLen() != 2048 {
		t.Error("launcher.pub is not the public half of launcher.pem, or that has not 2,048 bits")
	}
	if cookie := content(t, files, "secure-cookie-key"); string(cookie) != c.Keys.Cookie || len(cookie) != 36 {
		t.Errorf("secure-cookie-key has %d bytes", len(cookie))
	}
	older := c // in PKCS#1, as others make it
	older.Keys.Launcher = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))}))
	if !bytes.Equal(content(t, mustFiles(t, older), "launcher.pub"), content(t, files, "launcher.pub")) {
		t.Error("the same key in PKCS#1 has another public half")
	}
	other, err := workbench.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	if other.Launcher == c.Keys.Launcher || other.Cookie == c.Keys.Cookie {
		t.Error("two keys are the same")
	}
}

// TestSecretsAreNotPrinted holds that neither verbs nor loggers nor errors show
// secrets, while JSON, which is how keys are kept, does.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := full()
	c.Auth.OpenID.ClientSecret = "s3cret\nwith a break"
	_, err := c.Files()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "keys", c.Keys)
	kept, _ := json.Marshal(c.Keys)
	var again workbench.Keys
	if err := json.Unmarshal(kept, &again); err != nil || again != c.Keys {
		t.Errorf("keys do not survive JSON: %v", err)
	}
	for _, f := range mustFiles(t, full()) {
		if got := fmt.Sprintf("%v %+v %#v", f, f, f); got != f.String()+" "+f.String()+" "+f.String() || strings.Contains(got, string(f.Content)) {
			t.Errorf("%s is printed as %q", f.Path, got)
		}
	}
	printed := fmt.Sprintf("%v %+v %#v %s %v %v %#v", c, c, c, log.String(), err, *c.Auth.OpenID, *c.Auth.OpenID)
	for _, secret := range []string{"s3cret", c.Keys.Cookie, "PRIVATE KEY"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%.20q is printed", secret)
		}
	}
	if !strings.Contains(printed, "openid-client-secret: client-secret: (secret) has a line break") {
		t.Errorf("no error tells of the secret with a break: %v", err)
	}
}

// TestConfigurationRefuses has a way to spoil a full configuration, and what is
// said of it, for every rule.
func TestConfigurationRefuses(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // GODEBUG may forbid small keys
	}
	weakDER := x509.MarshalPKCS1PrivateKey(weak)
	for want, spoil := range map[string]func(*workbench.Configuration){
		"CallbackAddress is missing: sessions run on other machines": func(c *workbench.Configuration) { c.CallbackAddress = "" },
		"is no http or https URL with a host":                        func(c *workbench.Configuration) { c.CallbackAddress = "workbench.example.com" },
		"has more than scheme, host, port and path":                  func(c *workbench.Configuration) { c.CallbackAddress += "?a=b" },
		"leads each session to its own machine":                      func(c *workbench.Configuration) { c.CallbackAddress = "https://localhost:8787" },
		`"https://127.0.0.1" leads each`:                             func(c *workbench.Configuration) { c.CallbackAddress = "https://127.0.0.1" },
		`"https://[::]" leads each`:                                  func(c *workbench.Configuration) { c.CallbackAddress = "https://[::]" },
		"is http, and with a Certificate":                            func(c *workbench.Configuration) { c.CallbackAddress = "http://workbench.example.com" },
		"Keys are missing":                                           func(c *workbench.Configuration) { c.Keys = workbench.Keys{} },
		"Keys.Launcher is not one block of PEM":                      func(c *workbench.Configuration) { c.Keys.Launcher = "x" },
		"Keys.Launcher is no private key":                            func(c *workbench.Configuration) { c.Keys.Launcher = c.Certificate.Chain },
		"Keys.Launcher is no RSA key":                                func(c *workbench.Configuration) { c.Keys.Launcher = c.Certificate.Key },
		"Keys.Launcher has 1024 bits": func(c *workbench.Configuration) {
			c.Keys.Launcher = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: weakDER}))
		},
		"Keys.Cookie of 5 bytes":                       func(c *workbench.Configuration) { c.Keys.Cookie = "short" },
		"Keys.Cookie of 37 bytes":                      func(c *workbench.Configuration) { c.Keys.Cookie += "\n" },
		"Plugin.Exe":                                   func(c *workbench.Configuration) { c.Plugin.Exe = "plugin" },
		"Plugin.Domain and Plugin.Region are required": func(c *workbench.Configuration) { c.Plugin.Region = "" },
		"Cluster \"EC2 \"":                             func(c *workbench.Configuration) { c.Cluster = "EC2 " },
		"Port 5559":                                    func(c *workbench.Configuration) { c.Port = 5559 },
		"Port 65536":                                   func(c *workbench.Configuration) { c.Port = 65536 },
		"AdminGroup":                                   func(c *workbench.Configuration) { c.AdminGroup.Unix = "Domain Admins" },
		"Chain and Key are no certificate":             func(c *workbench.Configuration) { c.Certificate.Key = c.Keys.Launcher },
		"Auth has both OpenID and SAML": func(c *workbench.Configuration) {
			c.Auth.SAML = &workbench.SAML{MetadataURL: "https://idp.example.com"}
		},
		"Auth.OpenID.Issuer":                                             func(c *workbench.Configuration) { c.Auth.OpenID.Issuer = "http://login.example.com" },
		"ClientID and ClientSecret are required":                         func(c *workbench.Configuration) { c.Auth.OpenID.ClientSecret = "" },
		"Auth.OpenID.Scopes":                                             func(c *workbench.Configuration) { c.Auth.OpenID.Scopes = []string{"openid profile"} },
		"Auth.RequiredGroups: group \"a,b\": want the name of a Unix":    func(c *workbench.Configuration) { c.Auth.RequiredGroups[1].Unix = "a,b" },
		"Auth.RequiredGroups: a group has no name":                       func(c *workbench.Configuration) { c.Auth.RequiredGroups[0] = workbench.Group{} },
		"group \"staff\" of the domain and \"staff\" of the host":        func(c *workbench.Configuration) { c.Auth.RequiredGroups[0].Unix = "staff" },
		"Auth.SAML.MetadataURL":                                          func(c *workbench.Configuration) { c.Auth = workbench.Auth{SAML: &workbench.SAML{}} },
		"DataDirectory \"data\"":                                         func(c *workbench.Configuration) { c.DataDirectory = "data" },
		"SharedStorage \"/mnt/workbench\": want the name of a project":   func(c *workbench.Configuration) { c.SharedStorage = "/mnt/workbench" },
		"Mounts: \"/home/shared\" and /home are":                         func(c *workbench.Configuration) { c.Mounts[0].Path = "/home/shared" },
		"Mounts: \"/mnt/{USER}\": Workbench puts":                        func(c *workbench.Configuration) { c.Mounts[0].Path = "/mnt/{USER}" },
		"Mounts: \"/mnt/../etc\": want an absolute":                      func(c *workbench.Configuration) { c.Mounts[0].Path = "/mnt/../etc" },
		"Mounts: \"/mnt/scratch\" and /mnt/scratch are":                  func(c *workbench.Configuration) { c.Mounts[0].Path = "/mnt/scratch" },
		"Mounts: \"/projects\" and /projects/common are one":             func(c *workbench.Configuration) { c.Mounts[0].Path = "/projects" },
		"Environment: name \"A B\"":                                      func(c *workbench.Configuration) { c.Environment[0].Name = "A B" },
		"Environment: TEAM is there twice":                               func(c *workbench.Configuration) { c.Environment[0].Name = "TEAM" },
		"Environment: CRAN has no value":                                 func(c *workbench.Configuration) { c.Environment[0].Value = "" },
		"launcher-env: Environment: \"CRAN=a\\n\\nPath:":                 func(c *workbench.Configuration) { c.Environment[0].Value = "a\n\nPath: /etc" },
		"RStudio.IdleTimeout 1m30s: want whole minutes":                  func(c *workbench.Configuration) { c.RStudio.IdleTimeout = 90 * time.Second },
		"RStudio.ConnectServer":                                          func(c *workbench.Configuration) { c.RStudio.ConnectServer = "connect" },
		"Jupyter.Exe":                                                    func(c *workbench.Configuration) { c.Jupyter.Exe = "" },
		"Jupyter.Version is missing":                                     func(c *workbench.Configuration) { c.Jupyter.Version = "" },
		"Jupyter.ShutdownAfter -1h0m0s":                                  func(c *workbench.Configuration) { c.Jupyter.ShutdownAfter = -time.Hour },
		"VSCode.KillAfter 30m0s: want whole hours":                       func(c *workbench.Configuration) { c.VSCode.KillAfter = 30 * time.Minute },
		"Positron: image \"stata\" is in no menu":                        func(c *workbench.Configuration) { c.Positron.Images = []string{"stata"} },
		"Logging.Level \"loud\"":                                         func(c *workbench.Configuration) { c.Logging.Level = "loud" },
		"no menu is for everyone":                                        func(c *workbench.Configuration) { c.Menus = c.Menus[:2] },
		"menu [@group-gpu] is there twice":                               func(c *workbench.Configuration) { c.Menus[3].Group.Unix = "group-gpu" },
		"menu [@group-gpu]: profile \"r5.large\" is not among":           func(c *workbench.Configuration) { c.Menus[1].Profiles[0] = "r5.large" },
		"menu [@group-gpu]: a profile or an image is there":              func(c *workbench.Configuration) { c.Menus[1].Images[0] = "torch" },
		"the default image \"stata\" is not among":                       func(c *workbench.Configuration) { c.Menus[1].DefaultImage = "stata" },
		"at most 4 CPUs and 0 MiB":                                       func(c *workbench.Configuration) { c.Menus[1].MaxMemoryMiB = 0 },
		"0 profiles and 1 images: want at least one":                     func(c *workbench.Configuration) { c.Menus[0].Profiles = nil },
		"it is for a group and for a user":                               func(c *workbench.Configuration) { c.Menus[0].Group.Domain = "gpu" },
		"group \"GPU\": want the name of a group of the domain":          func(c *workbench.Configuration) { c.Menus[1].Group.Domain = "GPU" },
		"\"Jane Doe\": want the login of a user":                         func(c *workbench.Configuration) { c.Menus[0].User = "Jane Doe" },
		"profile \"custom\": want a name":                                func(c *workbench.Configuration) { c.Profiles[0].Name = "custom" },
		"profile \"a]b\": want a name":                                   func(c *workbench.Configuration) { c.Profiles[0].Name = "a]b" },
		"profile g4ad.xlarge is there twice":                             func(c *workbench.Configuration) { c.Profiles[1].Name = "g4ad.xlarge" },
		"0 CPUs, 3809 MiB of memory, 0 and 0 GPUs":                       func(c *workbench.Configuration) { c.Profiles[0].CPUs = 0 },
		"container-images: \"a,b\" has \",\"":                            func(c *workbench.Configuration) { c.Menus[0].Images = []string{"a,b"} },
		"name: \"large #1\" has '#'":                                     func(c *workbench.Configuration) { c.Profiles[0].Title = "large #1" },
		"name: \" large\" begins or ends with a space":                   func(c *workbench.Configuration) { c.Profiles[0].Title = " large" },
		"name: \"[large]\" begins with [":                                func(c *workbench.Configuration) { c.Profiles[0].Title = "[large]" },
		"name: \"\\xff\" is not UTF-8":                                   func(c *workbench.Configuration) { c.Profiles[0].Title = "\xff" },
		"store: \"a\\nexe=/bin/sh\" has a line break":                    func(c *workbench.Configuration) { c.Plugin.Store = "a\nexe=/bin/sh" },
		"auth-openid-username-claim: \"a\\\"b\" has '\"'":                func(c *workbench.Configuration) { c.Auth.OpenID.UsernameClaim = `a"b` },
		"DataDirectory \"/home/rstudio\" is not on the host's data disk": func(c *workbench.Configuration) { c.DataDirectory = "/home/rstudio" },
		"DataDirectory \"/var/lib/rstudio-server-2\" is not on":          func(c *workbench.Configuration) { c.DataDirectory = "/var/lib/rstudio-server-2" },
		"Mounts: \"/projects/genome\": ReadOnly":                         func(c *workbench.Configuration) { c.Mounts[0].Path = "/projects/genome" },
	} {
		c := full()
		spoil(&c)
		files, err := c.Files()
		switch {
		case err == nil:
			t.Errorf("no error, want %q", want)
		case files != nil, !errors.Is(err, domain.ErrInvalid):
			t.Errorf("%d files beside %v, want none and an error of kind %q", len(files), err, domain.ErrInvalid)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%v, want %q", err, want)
		case strings.Contains(err.Error(), "PRIVATE KEY"):
			t.Errorf("a key is in %v", err)
		}
	}
}

func TestConfigurationTellsAllProblemsAtOnce(t *testing.T) {
	_, err := workbench.Configuration{Port: -1, Logging: workbench.Logging{Level: "loud"}, Plugin: workbench.Plugin{Store: "a#b"}}.Files()
	for _, want := range []string{"CallbackAddress", "Keys are missing", "Plugin.Domain", "no menu is for everyone", "Port -1", `"loud"`, "launcher.ec2.conf: store: \"a#b\""} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestPluginReadsItsFile(t *testing.T) {
	c := full()
	got, err := workbench.ParsePlugin(content(t, mustFiles(t, c), "launcher.research-ec2.conf"))
	c.Plugin.Exe = ""
	if err != nil || got != c.Plugin {
		t.Errorf("%+v, %v, want %+v", got, err, c.Plugin)
	}
	for text, want := range map[string]string{
		"domain=a\nregion=b\ntable=c\n":            `line 3: "table" is no setting`,
		"domain=a\ndomain=b\nregion=c\n":           "line 2: domain is there twice",
		"domain=a\nregion=\n":                      `line 2: region: "" is empty`,
		"# nothing\n":                              "domain and region are required",
		"domain\nregion=a#b\n[section]\nstore=x\n": `line 2: region: "a#b" has '#'`,
	} {
		got, err := workbench.ParsePlugin([]byte(text))
		if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), want) || got != (workbench.Plugin{}) {
			t.Errorf("%q: %+v, %v, want %q", text, got, err, want)
		}
	}
}
