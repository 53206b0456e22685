package fakeaws

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// spotRequest is the one-time Spot Instance request that an instance fulfils,
// and what EC2 told of the instance.
type spotRequest struct {
	id          string
	tags        map[string]string
	recommended []time.Time // when EC2 recommended to rebalance
	noticed     time.Time   // when EC2 said that it takes the instance back; zero if it has not
}

// spotNotice is how long before EC2 takes an instance back it says so
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
const spotNotice = 2 * time.Minute

// noSpotCapacity is what EC2 says of a pool without spare capacity
// (https://repost.aws/knowledge-center/ec2-spot-instance-insufficient-capacity).
const noSpotCapacity = "There is no Spot capacity available that matches your request."

// spotRequestID makes an identifier in the form of those in EC2's examples,
// which stayed short in 2016: "sir-08b93456".
func spotRequestID(id uint64) string {
	const first, last = 36 * 36 * 36 * 36 * 36 * 36 * 36, 36 * 36 * 36 * 36 * 36 * 36 * 36 * 36 // of eight digits
	return "sir-" + strconv.FormatUint(first+id%(last-first), 36)
}

var spotRequestIDPattern = regexp.MustCompile(`^sir-[0-9a-z]{8}$`)

// market is how an instance was bought.
func (i *instance) market() Market {
	if i.spot != nil {
		return Spot
	}
	return OnDemand
}

// marketOf reads how a launch is to be bought. Of what AWS refuses, the codes and
// messages are those that people met
// (https://github.com/pahud/cdk-spot-one/issues/206,
// https://github.com/harmony-one/harmony-ops/issues/285) and of the price that of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotMarketOptions.html.
func marketOf(at call, in *types.InstanceMarketOptionsRequest) (Market, error) {
	if in == nil {
		return OnDemand, nil
	}
	if in.MarketType != types.MarketTypeSpot {
		return "", fmt.Errorf("fakeaws: %s with the MarketType %q is not modelled", at.Action, in.MarketType)
	}
	if in.SpotOptions == nil {
		return Spot, nil
	}
	o := *in.SpotOptions
	if price, err := instancetype.ParseMoney(aws.ToString(o.MaxPrice)); err == nil && price < instancetype.Dollar/1000 {
		return "", ec2Refuse("InvalidParameterValue", "Value (%s) for parameter maxPrice is invalid. The price must be more than 0.001.", *o.MaxPrice)
	}
	behaviour := o.InstanceInterruptionBehavior
	switch o.SpotInstanceType {
	case "", types.SpotInstanceTypeOneTime:
		switch behaviour {
		case "", types.InstanceInterruptionBehaviorTerminate:
		case types.InstanceInterruptionBehaviorStop, types.InstanceInterruptionBehaviorHibernate:
			return "", ec2Refuse("InvalidParameterCombination", "The request with type 'one-time' is not supported when instanceInterruptionBehavior is set to '%s'.", behaviour)
		default:
			return "", ec2Refuse("InvalidParameterValue", "Value (%s) for parameter instanceInterruptionBehavior is invalid.", behaviour)
		}
	case types.SpotInstanceTypePersistent:
		if behaviour == "" || behaviour == types.InstanceInterruptionBehaviorTerminate {
			return "", ec2Refuse("InvalidParameterCombination", "The terminate InstanceInterruptionBehavior is not supported when requestType is set to persistent.")
		}
		return "", fmt.Errorf("fakeaws: %s with the SpotInstanceType %q is not modelled", at.Action, o.SpotInstanceType)
	default:
		return "", ec2Refuse("InvalidParameterValue", "Value (%s) for parameter spotInstanceType is invalid.", o.SpotInstanceType)
	}
	return Spot, modelled(at, &o, "SpotInstanceType", "InstanceInterruptionBehavior")
}

// Interrupt has EC2 take a spot instance back: it gives notice now, see
// [Cloud.Events], and two minutes later it ends the instance with the state
// reason Server.SpotInstanceTermination and what runs on it is gone at once. An
// instance that ends before, as by TerminateInstances, has ended then. That there
// is less capacity from then on is for [Cloud.SetSpotCapacity] to say. To
// interrupt again what has been given notice does nothing. What is not a running
// spot instance is an error. What EC2 says beside the reason's code is an
// assumption.
func (c *Cloud) Interrupt(instanceID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	i, err := c.runningSpot("interrupt", instanceID, now)
	if err != nil {
		return err
	}
	if i.spot.noticed.IsZero() {
		i.spot.noticed = now
		c.end(i, now.Add(spotNotice), spotTermination, spotTermination+": Spot instance termination")
	}
	return nil
}

// Recommend has EC2 recommend to rebalance a spot instance, since it may soon take
// it back: there is an event, see [Cloud.Events], and nothing else changes. What is
// not a running spot instance is an error.
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html)
func (c *Cloud) Recommend(instanceID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	i, err := c.runningSpot("recommend", instanceID, now)
	if err == nil {
		i.spot.recommended = append(i.spot.recommended, now)
	}
	return err
}

// runningSpot finds a spot instance that runs; c.mu is held.
func (c *Cloud) runningSpot(op, id string, now time.Time) (*instance, error) {
	if c.closed {
		return nil, &launcher.Error{Op: op, Kind: launcher.ErrUnavailable, Err: ErrClosed}
	}
	i, ok := c.instance(id)
	if !ok {
		return nil, &launcher.Error{Op: op, Kind: launcher.ErrNotFound, Err: fmt.Errorf("no instance %q", id)}
	}
	if state := i.state(now); i.spot == nil || state != types.InstanceStateNameRunning {
		return nil, &launcher.Error{Op: op, Kind: launcher.ErrInvalid, Err: fmt.Errorf("%s is %s and bought %s: want a running spot instance", id, state, i.market())}
	}
	return i, nil
}
