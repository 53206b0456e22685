package ec2launcher

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	// keysLast is how long a generation of keys is valid: two years. Setup
	// makes a new one when less than half of that is left, so that a host has
	// a year at least from its boot, which is longer than anybody keeps an
	// instance without patching it.
	keysLast = 2 * 365 * 24 * time.Hour
	// keysBefore is how much earlier than its making a generation is valid,
	// for hosts whose clocks are not set yet.
	keysBefore = time.Hour
)

// secretText is text that must not be shown: formatted, it says only that.
type secretText string

func (secretText) String() string   { return "(secret)" }
func (secretText) GoString() string { return "(secret)" }

// A generation is what the launcher keeps of one issue of keys: the authority
// it trusts for it and its own certificate and key, all PEM. The authority's
// key is no part of it: it signed a server's and a client's certificate and
// was thrown away, so that nobody can ever make another that passes. Every
// authority has a name of its own, by which a server says which it trusts.
type generation struct {
	CA   string     `json:"ca"`
	Cert string     `json:"cert"`
	Key  secretText `json:"key"`
	Made time.Time  `json:"made"`
}

// serverKeys are what a host's engine answers with, all PEM.
type serverKeys struct {
	CA   string     `json:"ca"`
	Cert string     `json:"cert"`
	Key  secretText `json:"key"`
}

// id tells generations apart: a hash of the authority's certificate, which has
// the form of a version of a secret.
func (g generation) id() string {
	sum := sha256.Sum256([]byte(g.CA))
	return hex.EncodeToString(sum[:])
}

// ends is when a generation ceases to be valid.
func (g generation) ends() time.Time { return g.Made.Add(keysLast) }

// newGeneration makes an authority, and a server's and a client's certificate
// by it, valid for a while from now.
func newGeneration(fleet string, now time.Time) (generation, serverKeys, error) {
	now = now.UTC().Truncate(time.Second) // as certificates have it
	authority, err := newAuthority(fleet, now)
	if err != nil {
		return generation{}, serverKeys{}, err
	}
	serverCert, serverKey, err := authority.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: engineName(fleet)}, DNSNames: []string{engineName(fleet)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return generation{}, serverKeys{}, err
	}
	clientCert, clientKey, err := authority.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "launcher of fleet " + fleet},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return generation{}, serverKeys{}, err
	}
	ca := pemOf("CERTIFICATE", authority.cert.Raw)
	return generation{CA: ca, Cert: clientCert, Key: clientKey, Made: now}, serverKeys{CA: ca, Cert: serverCert, Key: serverKey}, nil
}

// An authority signs certificates. It lives as long as newGeneration runs.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(fleet string, now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Atelier"}, CommonName: fmt.Sprintf("fleet %s %x", fleet, serial)},
		NotBefore:    now.Add(-keysBefore), NotAfter: now.Add(keysLast),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(raw)
	return authority{cert, key}, err
}

// issue makes a key and a certificate for it from a template, with the
// authority's time.
func (a authority) issue(template *x509.Certificate) (cert string, key secretText, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return "", "", err
	}
	template.NotBefore, template.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	template.KeyUsage, template.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return pemOf("CERTIFICATE", raw), secretText(pemOf("PRIVATE KEY", der)), nil
}

// newSerial draws a serial number of 128 bits.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// authority parses the certificate of a generation's authority.
func (g generation) authority() (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(g.CA))
	if block == nil {
		return nil, errors.New("the authority's certificate is not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
