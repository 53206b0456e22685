package workbench_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/workbench"
)

// courses is a domain in which students have less to choose than teachers.
func courses(ctx context.Context) (*domain.Domain, error) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		return nil, err
	}
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		return nil, err
	}
	d, err := client.Create(ctx, domain.CreateRequest{
		Name: "courses", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID},
		Policy: domain.Policy{Types: []string{"t3.medium", "r5.xlarge", "g4dn.xlarge"}},
	})
	if err != nil {
		return nil, err
	}
	for name, ref := range map[string]string{"rstudio": "rocker/rstudio:4.5"} {
		if _, err := cloud.PushImage(ref, fakeaws.Image{}); err != nil {
			return nil, err
		}
		if _, err := d.Attach(ctx, domain.AttachRequest{Name: name, Reference: ref}); err != nil {
			return nil, err
		}
	}
	if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice", Login: "alice.smith", Groups: []string{"students"}}); err != nil {
		return nil, err
	}
	return d, d.SetGroupPolicy(ctx, "students", &domain.Policy{MaxPricePerHour: instancetype.Dollar / 10})
}

// What users may choose comes from the policies of a domain, the rest is the
// caller's to say.
func ExampleConfiguration_For() {
	ctx := context.Background()
	d, err := courses(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := workbench.NewKeys() // once, and kept in a secret
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := workbench.Configuration{CallbackAddress: "https://workbench.example.com", Keys: keys}.For(ctx, d)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range c.Profiles {
		fmt.Println(p.Title)
	}
	for _, m := range c.Menus {
		fmt.Printf("%q %v\n", m.Group, m.Profiles)
	}
	// Output:
	// t3.medium (2 vCPU, 4 GiB, $0.0416 an hour)
	// r5.xlarge (4 vCPU, 32 GiB, $0.252 an hour)
	// g4dn.xlarge (4 vCPU, 16 GiB, 1 T4, $0.526 an hour)
	// "" [t3.medium r5.xlarge g4dn.xlarge]
	// "group-students" [t3.medium]
}

func ExampleConfiguration_Files() {
	keys, err := workbench.NewKeys()
	if err != nil {
		fmt.Println(err)
		return
	}
	c := workbench.Configuration{
		CallbackAddress: "https://workbench.example.com",
		Keys:            keys,
		Plugin:          workbench.Plugin{Domain: "courses", Region: "us-east-1"},
		Profiles:        []workbench.Profile{{Name: "t3.medium", CPUs: 2, MemoryMiB: 3809}},
		Menus:           []workbench.Menu{{Profiles: []string{"t3.medium"}, Images: []string{"rstudio"}}},
		VSCode:          workbench.Editor{Enabled: true},
	}
	files, err := c.Files()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range files {
		switch path.Base(f.Path) {
		case "launcher.pem":
			fmt.Printf("%s %o %s\n", f.Path, f.Mode, f.Owner)
		case "launcher.ec2.resources.conf", "vscode.conf":
			_, text, _ := bytes.Cut(f.Content, []byte("\n\n"))
			fmt.Println(f.Path)
			os.Stdout.Write(text)
		}
	}

	c.CallbackAddress, c.Profiles[0].Title = "http://localhost:8787", "small # cheap"
	_, err = c.Files()
	fmt.Println(err)
	// Output:
	// /etc/rstudio/launcher.ec2.resources.conf
	// [t3.medium]
	// name=t3.medium
	// cpus=2
	// mem-mb=3994
	// /etc/rstudio/launcher.pem 600 rstudio-server:rstudio-server
	// /etc/rstudio/vscode.conf
	// enabled=1
	// workbench: configuration: invalid: CallbackAddress "http://localhost:8787" leads each session to its own machine; want the URL by which other machines reach this Workbench, such as "https://workbench.example.com"
	// launcher.ec2.resources.conf: name: "small # cheap" has '#': readers of such files take it for a comment, a quotation or an escape
}

// A program that is a plugin reads its own settings from the file whose path the
// Launcher passes.
func ExampleParsePlugin() {
	p, err := workbench.ParsePlugin([]byte("domain=courses\nregion=us-east-1\nstore=dynamodb:courses\n"))
	fmt.Println(p.Domain, p.Region, p.Store, err)
	// Output: courses us-east-1 dynamodb:courses <nil>
}

func ExampleNewKeys() {
	keys, err := workbench.NewKeys()
	fmt.Println(keys, len(keys.Cookie), err)
	// Output: keys 36 <nil>
}

// From a domain's policy to a host that is configured by it.
func ExampleConfiguration_Request() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := research.Onboard(ctx, domain.OnboardRequest{User: "jane", Login: "jane.doe"}); err != nil { // as she signs in
		log.Fatal(err)
	}
	if err := research.SetPolicy(ctx, domain.Policy{Types: []string{"m7i.*"}}); err != nil {
		log.Fatal(err)
	}
	const image = "registry.example.com/rstudio:2026.04"
	if _, err := cloud.PushImage(image, fakeaws.Image{}); err != nil {
		log.Fatal(err)
	}
	if _, err := research.Attach(ctx, domain.AttachRequest{Name: "rstudio", Reference: image}); err != nil {
		log.Fatal(err)
	}
	keys, err := workbench.NewKeys()
	if err != nil {
		log.Fatal(err)
	}

	conf, err := workbench.Configuration{
		CallbackAddress: "http://workbench.internal:8787", Keys: keys,
		Plugin: workbench.Plugin{Store: "atelier"}, // the table with the domain's records
	}.For(ctx, research)
	if err != nil {
		log.Fatal(err)
	}
	const exe = "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher" // where the plugin is unless its Exe says otherwise
	request, err := conf.Request(workbench.DeployRequest{
		InstanceType: "m7i.xlarge",
		Plugin:       workbench.Software{URL: "https://example.com/rstudio-ec2-launcher", SHA256: strings.Repeat("0", 64)},
		Accounts:     []string{exe, "accounts", "--config-file=/etc/rstudio/launcher.ec2.conf"},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := workbench.NewFromConfig(cloud.Config(), research, workbench.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Deploy(ctx, request); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(request.Files), "files, the port is", request.Port, "and the plugin", request.Plugin.Path)
	fmt.Println("to choose from:", conf.Profiles[0].Name, "and", len(conf.Profiles)-1, "more")
	// Output:
	// 15 files, the port is 8787 and the plugin /usr/lib/rstudio-server/bin/rstudio-ec2-launcher
	// to choose from: m7i.large and 10 more
}
