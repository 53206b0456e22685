package workbench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Auth says how users sign in. Whoever signs in must be a user of the host, by the
// login and uid that they have in the domain: what a provider calls them has to be that
// login. The zero value is PAM: the host's own passwords, or what its PAM is joined to.
type Auth struct {
	// OpenID signs users in with OpenID Connect.
	OpenID *OpenID
	// SAML signs users in with SAML. At most one of OpenID and SAML is set.
	SAML *SAML
	// RequiredGroups are those of whose members one must be to sign in. Empty lets
	// every user of the host.
	RequiredGroups []Group
}

// OpenID names an OpenID Connect provider, and Workbench to it. See
// https://docs.posit.co/ide/server-pro/authenticating_users/openid_connect_authentication.html.
type OpenID struct {
	// Issuer is the provider's URL. Required.
	Issuer string
	// UsernameClaim is the claim that is the name of the user on the host. Empty is
	// Workbench's own, "preferred_username". An e-mail address, which many providers
	// send as that, cannot be a login ([domain.OnboardRequest]): it has an @, and may
	// have upper case. Have the provider send a claim with the bare name in lower case,
	// "jane.doe", and name it here.
	UsernameClaim string
	// Scopes are what is asked of the provider. Empty is Workbench's own.
	Scopes []string
	// ClientID and ClientSecret are what the provider knows Workbench by. Both are
	// required. They go to a file of their own that only Workbench reads.
	ClientID     string
	ClientSecret string
}

// String leaves the secret out.
func (o OpenID) String() string { return fmt.Sprintf("client %s of %s", o.ClientID, o.Issuer) }

// GoString is String, so that no verb prints the secret.
func (o OpenID) GoString() string { return o.String() }

// SAML names an identity provider, and what of its answers is the user.
type SAML struct {
	// MetadataURL is where the provider describes itself. Required.
	MetadataURL string
	// UsernameAttribute is the attribute that is the name of the user on the host;
	// "NameID" is the subject itself. Empty is Workbench's own. As with a claim of
	// OpenID's, an e-mail address cannot be one.
	UsernameAttribute string
	// BaseURI is Workbench's URL for the provider, where it is not the one of the
	// request. Empty is that of the request.
	BaseURI string
}

func (a Auth) lines() []line {
	var required []string
	for _, g := range a.RequiredGroups {
		required = append(required, g.String())
	}
	lines := []line{list("auth-required-user-group", required)}
	if o := a.OpenID; o != nil {
		lines = append(lines,
			flag("auth-openid", true),
			text("auth-openid-issuer", o.Issuer),
			text("auth-openid-username-claim", o.UsernameClaim),
			// Spaces between scopes are from posit-dev/team-operator's
			// workbench_config.go; not verified against a licensed product.
			text("auth-openid-scopes", strings.Join(o.Scopes, " ")),
		)
	}
	if s := a.SAML; s != nil {
		lines = append(lines,
			flag("auth-saml", true),
			text("auth-saml-metadata-url", s.MetadataURL),
			text("auth-saml-sp-attribute-username", s.UsernameAttribute),
			// From Microsoft's page on single sign-on for RStudio Server Pro; not
			// verified against a licensed product.
			text("auth-saml-sp-base-uri", s.BaseURI),
		)
	}
	return lines
}

// clientSecret is a file with nothing but its two keys: whether a comment may
// stand in it is not verified.
func (o OpenID) clientSecret() page {
	return page{
		name: "openid-client-secret", mode: 0o600, owner: byService, syntax: ini, bare: true,
		sections: []section{lines(text("client-id", o.ClientID), secret(text("client-secret", o.ClientSecret)))},
	}
}

func (a Auth) problems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if a.OpenID != nil && a.SAML != nil {
		bad("Auth has both OpenID and SAML: Workbench signs in by one; set one of them, or neither for PAM")
	}
	for _, g := range a.RequiredGroups {
		if g == (Group{}) {
			bad("Auth.RequiredGroups: a group has no name")
		}
		for _, err := range g.problems() {
			bad("Auth.RequiredGroups: %w", err)
		}
	}
	if o := a.OpenID; o != nil {
		if !isURL(o.Issuer) {
			bad("Auth.OpenID.Issuer %.80q: want the provider's https URL", o.Issuer)
		}
		if o.ClientID == "" || o.ClientSecret == "" {
			bad("Auth.OpenID: ClientID and ClientSecret are required: take them from the provider")
		}
		for _, s := range o.Scopes {
			if s == "" || strings.Contains(s, " ") {
				bad("Auth.OpenID.Scopes: %.40q: want a scope without spaces", s)
			}
		}
	}
	if s := a.SAML; s != nil {
		if !isURL(s.MetadataURL) {
			bad("Auth.SAML.MetadataURL %.80q: want the provider's https URL", s.MetadataURL)
		}
		if s.BaseURI != "" && !isURL(s.BaseURI) {
			bad("Auth.SAML.BaseURI %.80q: want Workbench's https URL, or nothing", s.BaseURI)
		}
	}
	return found
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}

// A Certificate is what Workbench shows to those who connect by HTTPS. The zero
// value is none.
type Certificate struct {
	// Chain is the certificate and those that vouch for it, in PEM.
	Chain string
	// Key is its private key in PEM, without a passphrase.
	Key string
}

// String leaves the key out.
func (c Certificate) String() string {
	if c == (Certificate{}) {
		return "no certificate"
	}
	return "a certificate"
}

// GoString is String, so that no verb prints the key.
func (c Certificate) GoString() string { return c.String() }

const (
	chainPath      = directory + "/workbench.crt"
	chainKeyPath   = directory + "/workbench.key"
	secretFileMode = 0o600
)

// lines name the files. That the keys do not end in -file is what "rserver --help"
// says in posit-dev's tests, and
// https://docs.posit.co/ide/server-pro/hardening/example_secure_configuration.html.
func (c Certificate) lines() []line {
	if c == (Certificate{}) {
		return nil
	}
	return []line{flag("ssl-enabled", true), text("ssl-certificate", chainPath), text("ssl-certificate-key", chainKeyPath)}
}

func (c Certificate) files() []File {
	if c == (Certificate{}) {
		return nil
	}
	return []File{
		{Path: chainPath, Mode: 0o644, Owner: byService, Content: []byte(c.Chain)},
		{Path: chainKeyPath, Mode: secretFileMode, Owner: byService, Content: []byte(c.Key)},
	}
}

func (c Certificate) problems() []error {
	if c == (Certificate{}) {
		return nil
	}
	if _, err := tls.X509KeyPair([]byte(c.Chain), []byte(c.Key)); err != nil {
		return []error{errors.New("Certificate: Chain and Key are no certificate in PEM with the private key that belongs to it, without a passphrase")}
	}
	return nil
}
