package fakeaws

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Inventory returns what there is in the account, a description of each resource by its
// id or ARN, for a test to compare what was before with what is after. It has security
// groups with their rules, network interfaces, instances, volumes, file systems, mount
// targets, access points, what SageMaker holds, and IAM's roles and instance
// profiles, each with its tags. It does not have networks, images, parameters, secrets, logs,
// tables and files.
//
// A description is JSON of what the service's Describe would answer now, without delay and
// without what passes by itself, such as the instants of health checks. Two are equal
// if nothing has changed, states included: compare when nothing is under way.
func (c *Cloud) Inventory() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	all := map[string]string{}
	for id, g := range c.ec2.groups {
		byRule := *g // in an order that does not depend on when they came
		byRule.ingress, byRule.egress = sortedRules(g.ingress), sortedRules(g.egress)
		all[id] = described(c.describedGroup(&byRule))
	}
	for _, n := range c.ec2.interfaces {
		all[n.id] = described(c.describeInterface(n, now))
	}
	for _, i := range c.ec2.instances {
		if i.state(now) != types.InstanceStateNameTerminated {
			all[i.id] = described(c.describe(i, now))
		}
	}
	for _, v := range c.ec2.volumes {
		all[v.id] = described(c.describeVolume(v, now))
	}
	for _, fs := range c.efs.fileSystems {
		if !fs.seen(now) {
			continue
		}
		all[fs.id] = described(c.describeFileSystem(fs, now), fs.policies)
		for _, t := range fs.targets {
			if t.seen(now) {
				all[t.id] = described(c.describeMountTarget(fs, t, now), t.groups)
			}
		}
		for _, p := range fs.points {
			if p.seen(now) {
				all[p.id] = described(c.describeAccessPoint(p, now))
			}
		}
	}
	for name, r := range c.iam.roles {
		all[c.roleARN(name)] = described(c.describeRole(r), r.policies)
	}
	for name, p := range c.iam.profiles {
		all[c.profileARN(name)] = described(c.describeProfile(p))
	}
	c.studioInventory(all, now)
	return all
}

// studioInventory adds what SageMaker holds.
func (c *Cloud) studioInventory(all map[string]string, now time.Time) {
	tags := c.tagged(now)
	add := func(arn string, v any) { all[arn] = described(v, tags[arn]) }
	for _, d := range c.studio.domains {
		if !d.seen(now) {
			continue
		}
		add(c.domainARN(d.id), c.describedDomain(d, now))
		for _, u := range d.users {
			if u.seen(now) {
				add(c.userARN(d, u), c.describedUser(d, u, now))
			}
		}
		for _, s := range d.spaces {
			if s.seen(now) {
				add(c.spaceARN(d, s), c.describedSpace(d, s, now))
			}
		}
		for _, a := range d.apps {
			if a.status(now) != "" {
				out := c.describedApp(d, a, now)
				out.LastHealthCheckTimestamp, out.LastUserActivityTimestamp = nil, nil
				add(a.arn(c, d), out)
			}
		}
	}
	for _, i := range c.studio.images {
		if !i.seen(now) {
			continue
		}
		add(c.imageARN(i), c.describedImage(i, now))
		for _, v := range i.versions {
			if v.seen(now) {
				add(c.versionARN(i, v), c.describedVersion(i, v, now))
			}
		}
	}
	for _, a := range c.studio.configs {
		add(c.configARN(a), c.describedConfig(a))
	}
}

// described writes values as one line of JSON, without what is not set.
func described(values ...any) string {
	var all []any
	for _, v := range values {
		text, err := json.Marshal(v)
		var plain any
		if err == nil {
			err = json.Unmarshal(text, &plain)
		}
		if err != nil {
			return err.Error() // answers of services always have an encoding
		}
		if plain = pruned(plain); plain != nil {
			all = append(all, plain)
		}
	}
	text, _ := json.Marshal(all)
	return string(text)
}

// pruned takes away what is empty.
func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range maps.Clone(v) {
			if e = pruned(e); e == nil {
				delete(v, k)
			} else {
				v[k] = e
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = pruned(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	}
	return v
}
