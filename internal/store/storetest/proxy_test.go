package storetest_test

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

// serve starts a server that handles each connection so, and gives its address.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func echo(conn net.Conn) { io.Copy(conn, conn) }

func dial(t *testing.T, p *storetest.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(p.Port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// roundTrip sends data through an echo and says how long it took to come back whole.
func roundTrip(t *testing.T, conn net.Conn, data []byte) time.Duration {
	t.Helper()
	start := time.Now()
	go conn.Write(data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("read back: %v", err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("read back %d bytes that differ", len(got))
	}
	return time.Since(start)
}

func TestProxyPasses(t *testing.T) {
	p := storetest.NewProxy(t, serve(t, echo))
	roundTrip(t, dial(t, p), make([]byte, 3<<20))
	roundTrip(t, dial(t, p), []byte("a second connection"))
	if got, want := p.Passed(storetest.Up), int64(3<<20+19); got != want {
		t.Errorf("passed up: got %d, want %d", got, want)
	}
	if got, want := p.Opened(), 2; got != want {
		t.Errorf("opened: got %d, want %d", got, want)
	}
}

func TestProxyDelay(t *testing.T) {
	p := storetest.NewProxy(t, serve(t, echo))
	p.Delay(50 * time.Millisecond)
	// 2 MiB are 64 pieces or more: held one after the other, they would take seconds.
	if got := roundTrip(t, dial(t, p), make([]byte, 2<<20)); got < 100*time.Millisecond || got > time.Second {
		t.Errorf("2 MiB there and back: took %v, want a little more than 100ms", got)
	}
}

func TestProxyThrottle(t *testing.T) {
	p := storetest.NewProxy(t, serve(t, echo))
	p.Throttle(1 << 20)
	if got := roundTrip(t, dial(t, p), make([]byte, 512<<10)); got < 500*time.Millisecond || got > 3*time.Second {
		t.Errorf("512 KiB at 1 MiB/s: took %v, want a little more than 500ms", got)
	}
}

func TestProxyStall(t *testing.T) {
	p := storetest.NewProxy(t, serve(t, echo))
	conn := dial(t, p)
	roundTrip(t, conn, []byte("before"))
	p.Stall()
	if _, err := conn.Write([]byte("during")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 10)); n > 0 || !isTimeout(err) {
		t.Errorf("read while stalled: got %d bytes and error %v, want none and a timeout", n, err)
	}
	p.Resume()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 6)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "during" {
		t.Errorf("read after Resume: got %q and error %v, want %q", got, err, "during")
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func TestProxyCut(t *testing.T) {
	received := make(chan int, 10)
	p := storetest.NewProxy(t, serve(t, func(conn net.Conn) {
		n, _ := io.Copy(io.Discard, conn)
		received <- int(n)
	}))
	for _, n := range []int{1, 1000, 32 << 10, 100_001} {
		p.CutAfter(storetest.Up, int64(n))
		conn := dial(t, p)
		go conn.Write(make([]byte, 1<<20))
		if got := <-received; got != n {
			t.Errorf("cut after %d bytes: the server got %d", n, got)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("cut after %d bytes: the client's side: got error %v, want it closed", n, err)
		}
	}
	whole := dial(t, p)
	whole.Write(make([]byte, 200_000))
	whole.Close()
	if got, want := <-received, 200_000; got != want {
		t.Errorf("after the cuts: the server got %d bytes, want %d", got, want)
	}
}
