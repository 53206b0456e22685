package workbench

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/workbench/internal/hostboot"
)

// userData is what an instance boots with. No secret is in it.
func (c *Client) userData(r record, d domain.Description) string {
	w := r.Want
	boot := hostboot.Config{
		Region: c.domain.Region(), Secret: c.secretName(), Volume: r.Volume.ID, Device: dataDevice, FileSystem: d.FileSystem,
		PackageURL: w.Package.URL, PackageSHA256: w.Package.SHA256,
		PluginURL: w.Plugin.URL, PluginSHA256: w.Plugin.SHA256, PluginPath: w.Plugin.Path,
		Accounts: w.Accounts,
	}
	if w.SharedStorage != "" {
		boot.Storage, boot.StoragePath = r.Storage, projectDir(w.SharedStorage)
	}
	switch l := w.License; {
	case l.Key != "":
		boot.License = "key"
		boot.LicenseSecret, boot.LicenseParameter = kept(l.Key)
	case l.File != "":
		boot.License = "file"
		boot.LicenseSecret, boot.LicenseParameter = kept(l.File)
	case l.Server != "":
		boot.License, boot.LicenseServer = "server", l.Server
	}
	return hostboot.UserData(boot)
}

// digest tells equal user data.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
