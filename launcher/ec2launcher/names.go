package ec2launcher

// What a fleet owns in its account and region, by name. A fleet's name has at
// most 20 characters and a region's at most 14, so that the longest, the role,
// stays under IAM's 64 (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).

const (
	// enginePort is where a host's container engine answers, with mutual TLS:
	// the port Docker documents for that
	// (https://docs.docker.com/engine/security/protect-access/).
	enginePort = 2376
	// firstSessionPort to lastSessionPort are the ports of a host that
	// containers' ports are published on: those that Kubernetes uses for it,
	// where no service is expected, since hosts keep containers from them in
	// the whole VPC. They end below those that Linux gives to outgoing
	// connections (ip_local_port_range, 32768 to 60999).
	firstSessionPort = 30000
	lastSessionPort  = 32767
	// firstOpenPort to lastOpenPort are what the security groups of Config.Access
	// reach, since a workload may name a port of the host. They reach the engine in
	// any case, and a host serves nothing else there but what containers publish.
	// Below are the ports that a system gives to services of its own.
	firstOpenPort = 1024
	lastOpenPort  = 65535
)

// hostRole names the hosts' IAM role, and the instance profile that holds it.
// IAM has no regions, hence the region in it.
func (l *Launcher) hostRole() string {
	return "atelier-" + l.cfg.Fleet + "-" + l.region + "-host"
}

// hostPolicy names the inline policy of the hosts' role.
const hostPolicy = "host"

// engineGroupName names the security group that opens the hosts.
func (l *Launcher) engineGroupName() string { return "atelier-" + l.cfg.Fleet + "-engine" }

// logGroupName names the hosts' log group.
func (l *Launcher) logGroupName() string { return "/atelier/" + l.cfg.Fleet }

// hostSecret names the secret that hosts read, clientSecret the launcher's own.
func (l *Launcher) hostSecret() string   { return "atelier/" + l.cfg.Fleet + "/host" }
func (l *Launcher) clientSecret() string { return "atelier/" + l.cfg.Fleet + "/client" }

// engineName is the name in the certificate of every host's engine. It is in no
// DNS: whoever connects to a host's address asks for it by this name.
func engineName(fleet string) string { return fleet + ".hosts.atelier.internal" }
