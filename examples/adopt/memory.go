package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

const (
	account  = "123456789012"
	registry = account + ".dkr.ecr.us-east-1.amazonaws.com"
	tools    = registry + "/tools:1"
)

// run shows adopting a domain of an account in memory.
func run(ctx context.Context, out io.Writer) (err error) {
	cloud, err := fakeaws.New(fakeaws.Config{Delays: fakeaws.Realistic()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	managed, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
	if err != nil {
		return err
	}
	id, err := theirs(ctx, cloud, managed)
	if err != nil {
		return err
	}
	// Ada works in RStudio and in Studio Classic on SageMaker, and keeps a file.
	app, err := cloud.StartRSession(id, "ada", fakeaws.RSession{InstanceType: "ml.t3.medium"})
	if err != nil {
		return err
	}
	_, err = managed.StartApp(ctx, sagemakerdomain.StartAppRequest{
		AppID: sagemakerdomain.AppID{Domain: id, Profile: "ada", Type: sagemakerdomain.StudioClassic, Name: "default"},
	})
	if err != nil {
		return err
	}
	time.Sleep(10 * time.Minute) // until the session runs, too
	home, err := cloud.AppFiles(fakeaws.App{Domain: id, UserProfile: "ada", Type: "RSessionGateway", Name: app})
	if err != nil {
		return err
	}
	classic, err := cloud.AppFiles(fakeaws.App{Domain: id, UserProfile: "ada", Type: "JupyterServer", Name: "default"})
	if err != nil {
		return err
	}
	if err := home.WriteFile("notes.txt", []byte("y ~ x + z, from SageMaker"), 0o600); err != nil {
		return err
	}

	records := store.NewMemory()
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: records})
	if err != nil {
		return err
	}
	q := sagemakerdomain.AdoptRequest{ID: id, Name: "research"}
	before := cloud.Inventory()
	plan, err := managed.PreviewAdopt(ctx, domains, q)
	if err != nil {
		return err
	}
	tell(out, "what would be made:", plan)
	d, err := managed.Adopt(ctx, domains, q)
	if err != nil {
		return err
	}
	made, err := recordsOf(ctx, d)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "what was made:")
	if err := tellMade(out, plan, made, before, cloud.Inventory()); err != nil {
		return err
	}

	// The same file in a session of ours, which adds to it.
	sessions, end, err := open(ctx, cloud, d, records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if _, err := d.Attach(ctx, domain.AttachRequest{Name: "tools", Reference: tools}); err != nil {
		return err
	}
	s, err := sessions.Start(ctx, session.StartRequest{
		ID: "look", User: "ada", InstanceType: "m5.large", Kind: session.Job(), Image: "tools", Command: []string{"look"},
	})
	if err != nil {
		return err
	}
	if s, err = sessions.Wait(ctx, s.ID, session.Stopped); err != nil {
		return err
	}
	logs, err := sessions.Logs(ctx, s.ID, launcher.LogOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	said, err := io.ReadAll(logs)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "our session: %s", said)
	for _, app := range []struct {
		name  string
		files *fakelauncher.Dir
	}{{"RStudio", home}, {"Studio Classic", classic}} {
		text, err := app.files.ReadFile("notes.txt")
		if err != nil {
			return err
		}
		info, err := app.files.Stat("notes.txt")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s on SageMaker: %q of uid %d\n", app.name, text, info.Sys().(launcher.User).UID)
	}

	// People come and go there.
	if _, err := managed.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: id, Name: "eve"}); err != nil {
		return err
	}
	if err := managed.DeleteProfile(ctx, sagemakerdomain.DeleteProfileRequest{Domain: id, Name: "bob"}); err != nil {
		return err
	}
	differences, err := managed.Diff(ctx, d)
	if err != nil {
		return err
	}
	tell(out, "how they differ after a while:", differences)
	if _, err := managed.Adopt(ctx, domains, q); err != nil {
		return err
	}
	differences, err = managed.Diff(ctx, d)
	tell(out, "and when it is adopted again:", differences)
	return err
}

// tell prints a list below a heading.
func tell(out io.Writer, heading string, list []domain.Consequence) {
	fmt.Fprintln(out, heading)
	for _, line := range list {
		fmt.Fprintln(out, " ", line)
	}
}

// theirs makes a domain that SageMaker manages, with RStudio and two people.
func theirs(ctx context.Context, cloud *fakeaws.Cloud, managed *sagemakerdomain.Client) (id string, err error) {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	role, document := "studio", trust
	if _, err := awsiam.NewFromConfig(cloud.Config()).CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: &role, AssumeRolePolicyDocument: &document}); err != nil {
		return "", err
	}
	time.Sleep(time.Minute) // until it shows
	if _, err := cloud.PushImage(tools, fakeaws.Image{Program: look, Size: 1 << 28}); err != nil {
		return "", err
	}
	arn := "arn:aws:iam::" + account + ":role/studio"
	is, err := managed.CreateDomain(ctx, sagemakerdomain.CreateDomainRequest{
		Name: "studio", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}, ExecutionRole: arn, DomainExecutionRole: arn,
		DefaultAccess: sagemakerdomain.AccessUser,
	})
	if err != nil {
		return "", err
	}
	for _, name := range []string{"ada", "bob"} {
		if _, err := managed.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: is.ID, Name: name}); err != nil {
			return "", err
		}
	}
	return is.ID, nil
}

// look is the program of an image: it reads a file of the home, and adds to it.
func look(_ context.Context, p *fakelauncher.Proc) int {
	name := p.Getenv("HOME") + "/notes.txt"
	text, err := p.ReadFile(name)
	if err == nil {
		fmt.Fprintf(p.Stdout, "%q, read as uid %d\n", text, p.User.UID)
		err = p.WriteFile(name, append(text, ", and from Atelier"...), 0o600)
	}
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 1
	}
	return 0
}

// open runs a fleet and sessions for a domain until end is called.
func open(ctx context.Context, cloud *fakeaws.Cloud, d *domain.Domain, records store.Store) (sessions *session.Manager, end func() error, err error) {
	about, err := d.Describe(ctx)
	if err != nil {
		return nil, nil, err
	}
	var subnets []string
	for _, s := range about.Subnets {
		subnets = append(subnets, s.ID)
	}
	fleet, err := ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: about.Name, Store: records, Subnets: subnets, SecurityGroups: about.HostSecurityGroups(), Connect: fake.Connect(cloud),
	})
	if err != nil {
		return nil, nil, err
	}
	if sessions, err = session.New(d, fleet, session.Config{}); err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(ctx)
	var work errgroup.Group
	work.Go(func() error { return fleet.Run(running) })
	work.Go(func() error { return sessions.Run(running) })
	return sessions, func() error { stop(); return work.Wait() }, nil
}
