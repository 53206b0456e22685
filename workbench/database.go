package workbench

// databaseConf keeps the database in a file on a disk of the host: SQLite suffices
// for one host, and must not be on NFS
// (https://docs.posit.co/ide/server-pro/database/configuration.html). Mode and
// owner are those that Workbench gives the file when it starts.
func (c Configuration) databaseConf() page {
	p := public("database.conf", ini, lines(text("provider", "sqlite"), text("directory", c.DataDirectory)))
	p.mode = secretFileMode
	return p
}
