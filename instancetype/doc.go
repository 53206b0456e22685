// Package instancetype knows the EC2 instance types: what each has, what it
// costs per region, which of them meet a requirement and which is cheapest.
//
// A [Catalog] answers from memory. [Embedded] is the one built into this
// package; [New] makes one from other data, such as what an account's EC2
// reports. What the data does not say is unknown and never zero: see [Fact],
// [Catalog.Price] and the fields of [Type].
//
// SageMaker's names ("ml.r5.4xlarge") are accepted wherever EC2's are; see
// [FromSageMaker].
package instancetype
