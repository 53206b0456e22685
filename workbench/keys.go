package workbench

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Keys are the secrets of a Workbench host. They are made once, kept where secrets
// are kept, as [Client.EnsureKeys] does, and stay as they are when the host is replaced: with other ones people
// are signed out and running sessions are lost sight of. Their JSON has the secrets
// in it; no verb of package fmt prints them.
type Keys struct {
	// Launcher is an RSA key of 2,048 bits or more, in PEM, as PKCS#8 or PKCS#1.
	// Workbench signs with it what it asks of the Launcher.
	Launcher string
	// Cookie signs what browsers and sessions show to Workbench: 32 to 512 letters,
	// digits and hyphens.
	Cookie string
}

// NewKeys makes keys, which are different each time, for who keeps them otherwise than
// [Client.EnsureKeys] does: an RSA key of 2,048 bits as
// PKCS#8, which is what openssl genpkey makes in Posit's instructions, and a random
// UUID, which is what Workbench makes for itself.
func NewKeys() (Keys, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Keys{}, fmt.Errorf("workbench: new keys: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Keys{}, fmt.Errorf("workbench: new keys: %w", err)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return Keys{
		Launcher: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		Cookie:   fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
	}, nil
}

// String says that there are keys.
func (k Keys) String() string {
	if k == (Keys{}) {
		return "no keys"
	}
	return "keys"
}

// GoString is String, so that no verb prints what is in them.
func (k Keys) GoString() string { return k.String() }

// LogValue is String, so that no logger writes what is in them.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

const cookieKeyPath = directory + "/secure-cookie-key"

// files are the keys, and the public half of the Launcher's. All belong to the user
// that Workbench and the Launcher run as, as in sol-eng's
// aws-parallelcluster-rsw-ha: root can read them too.
func (k Keys) files() []File {
	key, err := k.launcher()
	if err != nil {
		return nil
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil
	}
	return []File{
		{Path: directory + "/launcher.pem", Mode: secretFileMode, Owner: byService, Content: []byte(k.Launcher)},
		{Path: directory + "/launcher.pub", Mode: 0o644, Owner: byService,
			Content: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})},
		// Without a line break: the whole file is the key (SecureKeyFile.cpp in
		// github.com/rstudio/rstudio).
		{Path: cookieKeyPath, Mode: secretFileMode, Owner: byService, Content: []byte(k.Cookie)},
	}
}

// launcher reads the Launcher's key. Its errors quote nothing of it.
func (k Keys) launcher() (*rsa.PrivateKey, error) {
	block, rest := pem.Decode([]byte(k.Launcher))
	if block == nil || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("is not one block of PEM")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("is no private key in PKCS#8 or PKCS#1")
		}
		var ok bool
		if key, ok = parsed.(*rsa.PrivateKey); !ok {
			return nil, errors.New("is no RSA key, and Workbench signs with RSA")
		}
	}
	if bits := key.N.BitLen(); bits < 2048 {
		return nil, fmt.Errorf("has %d bits: want 2048 or more", bits)
	}
	return key, nil
}

func (k Keys) problems() []error {
	if k == (Keys{}) {
		return []error{errors.New("Keys are missing: take them from EnsureKeys, or make them once with NewKeys and keep them")}
	}
	var found []error
	if _, err := k.launcher(); err != nil {
		found = append(found, fmt.Errorf("Keys.Launcher %w", err))
	}
	if n := len(k.Cookie); n < 32 || n > 512 || strings.Trim(strings.ToLower(k.Cookie), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		found = append(found, fmt.Errorf("Keys.Cookie of %d bytes: want 32 to 512 letters, digits and hyphens", n))
	}
	return found
}
