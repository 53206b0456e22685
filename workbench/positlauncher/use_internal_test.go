package positlauncher

import (
	"net"
	"net/netip"
	"testing"
	"testing/fstest"
)

func TestRemotes(t *testing.T) {
	proc := fstest.MapFS{
		"tcp": {Data: []byte(`  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0500A8C0:A1B2 EA0D1FAC:2253 01 00000000:00000000 02:00000000 00000000     0        0 2
   2: 0500A8C0:A1B3 EA0D1FAC:2254 06 00000000:00000000 02:00000000 00000000     0        0 3
`)},
		"tcp6": {Data: []byte(`  sl  local_address remote_address st
   0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000200007F:0051 01 x
   1: B80D0120000000000000000001000000:0050 B80D0120000000000000000002000000:0052 01 x
`)},
		"bad": {Data: []byte("head\n 0: 00:00 zz:1 01\n")},
	}
	found := map[netip.AddrPort]bool{}
	for _, name := range []string{"tcp", "tcp6", "absent"} {
		if err := remotes(proc, name, found); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"172.31.13.234:8787", "127.0.0.2:81", "[2001:db8::2]:82"} {
		if !found[netip.MustParseAddrPort(want)] {
			t.Errorf("%s is missing in %v", want, found)
		}
	}
	if len(found) != 3 {
		t.Errorf("%v", found)
	}
	if err := remotes(proc, "bad", found); err == nil {
		t.Error("what is no address is one")
	}
}

// On this machine a connection is seen while it lasts, where the system tells of any.
func TestEstablished(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	at := netip.MustParseAddrPort(listener.Addr().String())
	before, err := established()
	if err != nil || before[at] {
		t.Fatalf("%v before it is made (%v)", before[at], err)
	}
	if len(before) == 0 {
		t.Skip("this system does not tell of its connections in /proc/net")
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if during, err := established(); err != nil || !during[at] {
		t.Errorf("it is not seen (%v)", err)
	}
}
