package ports

import (
	"net"
	"testing"
)

// occupy makes sure that the port is in use.
func occupy(t *testing.T, port int) {
	t.Helper()
	l, err := net.Listen("tcp", Addr(port))
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	if Free(port) {
		t.Fatalf("port %d is still free", port)
	}
}

func TestChooseAvoidsTakenPorts(t *testing.T) {
	usual := []int{5432, 5672, 7233, 8233, 9000}
	for _, port := range usual {
		occupy(t, port)
	}
	chosen, err := Choose(usual...)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for i, port := range chosen {
		if port == usual[i] || seen[port] || !Free(port) {
			t.Errorf("chose %d instead of %d; all: %v", port, usual[i], chosen)
		}
		seen[port] = true
	}
}

func TestChooseReturnsThePreferredPortWhenItIsFree(t *testing.T) {
	free, err := Choose(0)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := Choose(free[0], free[0])
	if err != nil {
		t.Fatal(err)
	}
	if chosen[0] != free[0] || chosen[1] == free[0] {
		t.Errorf("preferred %d twice, chose %v", free[0], chosen)
	}
}

// Other programs take ports of the ephemeral range at any time, which begins at 32768.
func TestChooseAvoidsEphemeralPorts(t *testing.T) {
	chosen, err := Choose(make([]int, 100)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range chosen {
		if port < lowest || port >= highest {
			t.Errorf("chose %d", port)
		}
	}
}
