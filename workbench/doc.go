// Package workbench keeps the persistent EC2 host of a domain's Posit Workbench, and
// what Workbench and its Job Launcher are configured by.
//
//	_, err = d.Onboard(ctx, domain.OnboardRequest{User: "jane", Login: "jane.doe"})
//	client, err := workbench.NewFromConfig(cfg, d, workbench.Config{})
//	keys, err := client.EnsureKeys(ctx)
//	conf, err := workbench.Configuration{
//		CallbackAddress: "https://workbench.example.com", Keys: keys, Plugin: workbench.Plugin{Store: "atelier"},
//	}.For(ctx, d)
//	const exe = "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher"
//	request, err := conf.Request(workbench.DeployRequest{
//		InstanceType: "m7i.xlarge",
//		Package:      workbench.Software{URL: "https://example.com/rstudio-workbench.rpm", SHA256: packageSum},
//		Plugin:       workbench.Software{URL: "https://example.com/rstudio-ec2-launcher", SHA256: pluginSum},
//		Accounts:     []string{exe, "accounts", "--config-file=/etc/rstudio/launcher.ec2.conf"},
//		Policies:     policies, // of what the plugin calls: an example has them
//	})
//	deployed, err := client.Deploy(ctx, request)
//
// The sessions that users open there run on the hosts of the domain, by the launcher
// plugin of package positlauncher.
//
// # The host
//
// A [Client] deploys one host, describes it, restarts and replaces it, and removes
// it. The host keeps its private address, by a network interface of its own, and
// its data, on an EBS volume of its own, however often the instance is another.
// Homes are the domain's: /home of the host is where sessions have them too, with
// the domain's uids, which [Accounts] tells, with the groups of the domain as Unix
// groups, so that a [Group] of either kind can say who signs in, who administers and
// what is on which menu. So is the shared storage, if there is to
// be one: a project of the domain, at the same path under /projects.
//
// The metadata of the instance, and by it the credentials of the host's role, are for
// root and the system's accounts, such as the one that Workbench and the plugin run as.
// Accounts from uid 1000 on, which people's are, are kept from it by a rule of routing.
//
// It is one host. Several behind a load balancer are not supported by this package:
// they need PostgreSQL and the same keys and files on each.
//
// # Configuration
//
// A [Configuration] is what Workbench and the Launcher are told, as typed values;
// [Configuration.For] takes from a domain which instance types and images its users
// may choose, and [Configuration.Files] renders the files in /etc/rstudio. There is
// no field for a key of the caller's own, so a key that Workbench does not know cannot
// be written: Workbench refuses to start with one.
//
// The files, keys among them, are one secret in Secrets Manager, which nobody reads
// but the host, when it boots. The keys by themselves are another, which whoever calls
// EnsureKeys reads; see there whom to let. Other files are published by [Client.Deploy] and
// hold after [Client.Restart], while what the instance is launched with (its type,
// image, packages, licence, mounts) holds after [Client.Replace]; [Client.Describe]
// says which is due.
//
// # From nothing to a sign-in
//
//   - Create the domain, onboard its first user, with the Login that they sign in by, and
//     attach the images; each has the session components of the Workbench's version.
//   - Build the plugin, such as examples/positplugin, and put it at an https URL that the
//     host reaches; its SHA-256 goes into [DeployRequest.Plugin]. [Plugin.Store] is the
//     table with the domain's records: without one that plugin finds no domain.
//   - Take the [Keys] from [Client.EnsureKeys], which makes them once and keeps them:
//     users are signed out, and sessions lost, when they change.
//   - Deploy. Give the SecurityGroup of the answer to the fleet as Access, and call its
//     Setup: sessions are then reached from the host. The fleet of examples/positplugin
//     is called as the domain is, so that is what to call the one that is set up.
//     Before a [Client.Remove], which is refused otherwise, take it out again.
//   - The host's role needs what the plugin calls: [DeployRequest.Policies] has the three
//     lines.
//   - Accounts come from a program that prints [Accounts], as the plugin of
//     examples/positplugin does ([DeployRequest.Accounts]), or from a directory with the
//     domain's uids. They are called by the users' logins ([domain.OnboardRequest]),
//     which have to be what the provider of the sign-in calls people. An e-mail address
//     is no login, which has neither an @ nor upper case: have the provider send a claim
//     or attribute with the bare name in lower case, "jane.doe", and name it in [Auth].
//     Accounts have no passwords: sign-in is by OpenID or SAML, or by a PAM of your image's.
//   - Describe says what is not yet as it should be.
//
// # Records
//
// What is about to be made is recorded in the domain's store before AWS is asked,
// under tokens that are recorded with it. After an error, a crash or a cancelled
// context call the same method again: it goes on, and nothing is made twice. Methods
// that change something take turns, also those of several processes on one store. All
// methods are safe for concurrent use.
//
// # What is not verified
//
// Nothing here was tried with a licensed Workbench, nor on EC2. Keys are spelled as
// Posit's documentation and public configuration spell them; where spelling or meaning
// could not be verified, a comment says so. Whether Posit supports Amazon Linux 2023,
// which the host has unless it is given another image, is not known.
package workbench
