// Package sagemakerdomain manages the domains of Amazon SageMaker AI that have RStudio, without
// the traps of their API.
//
//	client, err := sagemakerdomain.NewFromConfig(cfg, sagemakerdomain.Config{})
//	d, err := client.CreateDomain(ctx, sagemakerdomain.CreateDomainRequest{Name: "research", ...})
//	alice, err := client.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice"})
//	url, err := client.PresignedURL(ctx, sagemakerdomain.URLRequest{Domain: d.ID, Profile: "alice", Landing: sagemakerdomain.LandRStudio})
//
// These are SageMaker's domains, not those of package domain, of which this one has the kinds of
// errors and the form of previews.
//
// # The map
//
//   - Domains: CreateDomain, CheckDomain, Describe, Domains, UpdateDomain, PreviewUpdate,
//     DeleteDomain, PreviewDelete, NFSGroups; RestartServer and PreviewRestart of their RStudio.
//   - User profiles: CreateProfile, Profile, Profiles, UpdateProfile, DeleteProfile,
//     PreviewDeleteProfile; Effective is what is in force for one. Spaces: Spaces, DeleteSpace; they
//     are made by people in Studio, or with the SDK.
//   - Images: RegisterImage, Images, AddVersion, Versions, AttachImage, DetachImage, ImageUses,
//     DeleteVersion, DeleteImage. The configuration that AttachImage makes is kept, see [AttachRequest].
//   - Apps: Apps, App, StartApp, DeleteApp; CheckStart and Quotas; PresignedURL.
//   - Policy is what the caller may do.
//   - Adopt makes a domain of package domain over one of SageMaker's, so that the same people open the
//     same homes in sessions of both; PreviewAdopt lists what that makes, all that stands in its way and
//     what has no counterpart, and Diff how they differ. Profiles with access to RStudio and those that
//     the request includes, images, subnets and the types that quotas allow are taken over; roles,
//     security groups of apps and spaces are not. For an account in memory examples/adopt shows it.
//
// Whatever begins something waits for its end, by [Config.Timeouts], tells [Config.Progress] how it
// comes on, and says of a failure what SageMaker says, which kind it is and whose turn
// it is. All that is wrong with a request is reported at once, before anything is changed. After
// an error, a crash or a cancelled context the same call goes on; nothing is made twice, but for
// what CreateDomain says of domains.
//
// # Traps, and what becomes of them here
//
//   - No call but CreateImageVersion has a token, and two domains can have one name: CreateDomain finds
//     its domain by a tag, and looks for one whose answer was lost.
//   - A licence that is missing shows when a domain has failed: it is looked for before.
//   - There are waiters for images alone, which take an old failure for a new one: what was just changed
//     reads as before for a while. Waits here tell the two apart by the time of the last change.
//   - The server of RStudio reads addresses, types of instances and images once: UpdateDomain makes it
//     again, the calls for images say that it is due, and a tag of the domain remembers it.
//   - The list of images that is sent replaces the one there is, and a server stays with what was the
//     latest version: images are added one by one, by number.
//   - Settings of domain and profile are overridden, but security groups are added up: Effective.
//   - Access to RStudio can be given and not taken back; the network is for ever once RStudio is on; a
//     profile cannot be changed while an app of its user runs: refused here, with the reason.
//   - A domain cannot be deleted before its profiles, those not before their spaces and apps, the server
//     not before its sessions, what has failed not at all; it leaves security groups that keep each
//     other, and network interfaces: DeleteDomain does it in order. The group for inbound NFS stays
//     with the mount targets of homes that are kept, and those of a custom file system, which have
//     to be in it too, are told. What a domain has left that others have deleted goes by the same
//     call, and PreviewDelete lists it; not while a domain of ours is over the homes, which it would
//     cut off.
//   - An image that lacks what RStudio needs is attached all the same, and its sessions fail: what its
//     configuration says is read before.
//   - Images can be neither used nor deleted while they are created or updated: it is waited for, and
//     for what stays as it is nobody waits. One is deleted whatever still names it: here not while
//     settings of domains, profiles or spaces do, or apps run of it.
//   - A profile that is made again has another user id, and so another home. User ids are texts in the
//     API and numbers here.
//   - LastUserActivityTimestamp is also set by health checks: it is not told.
//   - Lists have short pages and, of apps, what was deleted a day ago: lists here are whole and do not.
//
// # What is not verified
//
// Nothing here was tried with a real account; the tests use a model of the API made from its
// documentation. Assumptions are: that members of settings that are not sent stay, as the
// developer guide's way to detach images has it, and that LastModifiedTime changes with each
// update; the names of the security groups, the descriptions of network interfaces and the names
// of quotas, which are as people have exported them; that the security group between the server
// of RStudio and its sessions goes with the domain; that License Manager tells of Posit's licence
// in us-east-1; that the type of instance of a space is over its owner's; that access to RStudio
// which profiles have by the domain's default cannot be taken back either; that SageMaker's user
// ids stay below 1,000,000,000, above which the gids of an adopted domain's projects are. Prices
// of SageMaker, the version of a domain's Workbench, the unpacked size of an image and what is in
// its layers no call tells, and nothing here guesses them.
package sagemakerdomain
