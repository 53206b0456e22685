// Package atelier is the map of a library for running interactive sessions and
// jobs of data scientists on EC2 instances of the caller's own AWS account: the
// architecture of RStudio on SageMaker, to be assembled in a Go program.
//
// A [domain] holds a network, one EFS file system, users, attached container
// images and policies. Each user has one persistent home that every session of
// theirs sees. A [session] runs as a container through a [launcher], which the
// fleet of EC2 instances in [ec2launcher] is one of; it is suspended, and
// resumed on another instance type with the same files.
//
//	domain ──> efs, image, instancetype, domain/store
//	   ▲  ▲
//	   │  └── workbench
//	session ──> launcher ◄── ec2launcher ──> dockerlauncher
//	   ▲                 ◄── fakelauncher, faultlauncher
//	positlauncher
//
// Start reading with [session.Manager]; a program that shows all of it is
// examples/quickstart. Records live in memory, in a file (domain/store/boltstore) or
// in DynamoDB (domain/store/dynamostore). To test a program that uses the library, use [fake]: a
// whole world in one call, on the account in memory that is fake/fakeaws. Beside
// these, session/proxy serves sessions to browsers and tells who uses them,
// session/credentials gives sessions roles in AWS, [workbench] keeps the host of a Posit
// Workbench, workbench/positlauncher runs its sessions and jobs, launcher/launchertest is the
// contract to test a launcher of one's own with, and domain/store/storetest that of
// a store; domain/sagemakerdomain manages domains that SageMaker has. Every constructor has an example that runs.
//
// There is no code in this package.
//
// [domain]: https://pkg.go.dev/github.com/atelier-go/atelier/domain
// [session]: https://pkg.go.dev/github.com/atelier-go/atelier/session
// [session.Manager]: https://pkg.go.dev/github.com/atelier-go/atelier/session#Manager
// [launcher]: https://pkg.go.dev/github.com/atelier-go/atelier/launcher
// [ec2launcher]: https://pkg.go.dev/github.com/atelier-go/atelier/launcher/ec2launcher
// [workbench]: https://pkg.go.dev/github.com/atelier-go/atelier/workbench
// [fake]: https://pkg.go.dev/github.com/atelier-go/atelier/fake
package atelier
