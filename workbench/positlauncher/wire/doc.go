// Package wire is the language that Posit's Launcher and its plugins speak over a
// plugin's standard input and output, as version 3.7 of the plugin API has it.
//
// A message is a frame: its length in bytes as four bytes, the most significant
// first, and then as many bytes of JSON. The Launcher sends requests, a plugin
// responses. [Reader] reads frames, [Decode] makes a [Request] of one, and
// [Encode] makes a frame of a response.
//
// Requests are read leniently, since versions of the Launcher differ: unknown fields
// are skipped, a text may be a number, a time may have no zone, and an output type
// may be a number, a text or missing. Responses are written strictly: every field
// that the Launcher reads is there, and no list is null.
//
// The language is known from Posit's two published SDKs, posit-dev/launcher-go-sdk
// and rstudio/rstudio-launcher-plugin-sdk, and from nothing else: the Launcher itself
// cannot be had without a licence, and nothing here was tried with it.
package wire
