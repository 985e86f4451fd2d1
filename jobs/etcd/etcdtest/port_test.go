package etcdtest

import "testing"

func TestPortStaysReserved(t *testing.T) {
	p, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a listener comes and goes
		ln, err := p.listen(t.Context())
		if err != nil {
			t.Fatalf("listen on a port of our own: %v", err)
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if ln, err := listenPlainly(t, p.addr); err == nil {
			_ = ln.Close()
			t.Error("somebody else could listen on a reserved port")
		}
	}
	if err := p.release(); err != nil {
		t.Fatal(err)
	}
	ln, err := listenPlainly(t, p.addr)
	if err != nil {
		t.Fatalf("listen on a released port: %v", err)
	}
	_ = ln.Close()
}
