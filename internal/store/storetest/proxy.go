package storetest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Direction is one of the two ways through a Proxy.
type Direction int

// The two directions.
const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
)

// pieces is how many pieces of at most pieceSize bytes the proxy holds for a direction of a connection.
const (
	pieces    = 256
	pieceSize = 32 << 10
)

// Proxy forwards TCP connections from a port on loopback to a server, and is as bad a network as a test asks for. It ends with the test.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup
	ended    chan struct{}

	mu      sync.Mutex
	links   map[*link]bool
	opened  int
	delay   time.Duration
	rate    int // bytes a second and direction; 0: no limit
	flowing chan struct{}
	ways    [2]way
}

// way is what happens in one direction, over all connections.
type way struct {
	passed int64
	cutAt  int64     // of passed; 0: never
	free   time.Time // when the next byte may pass
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	once           sync.Once
	ended          chan struct{}
}

type piece struct {
	data []byte
	at   time.Time
}

// NewProxy starts a proxy to target, "host:port".
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: listener, ended: make(chan struct{}), links: map[*link]bool{}, flowing: make(chan struct{})}
	close(p.flowing)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		close(p.ended)
		listener.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Port is where the proxy listens on 127.0.0.1.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Opened is how many connections were made so far.
func (p *Proxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// Passed is how many bytes went in a direction so far.
func (p *Proxy) Passed(d Direction) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ways[d].passed
}

// Throttle lets so many bytes a second pass in each direction; 0 is no limit.
func (p *Proxy) Throttle(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// Delay holds every byte for so long, in each direction. It does not slow a stream down.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Stall lets nothing pass any more, and closes nothing.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flowing = make(chan struct{})
}

// Resume ends a Stall: what was held passes.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.flowing)
}

// CutAfter closes all connections, both their sides, once exactly n more bytes went in a direction; n is at least 1. Connections that are made
// after that are whole.
func (p *Proxy) CutAfter(d Direction, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ways[d].cutAt = p.ways[d].passed + n
}

// Cut closes all connections now, and forgets a CutAfter.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for l := range p.links {
		l.close()
	}
	p.ways[Up].cutAt, p.ways[Down].cutAt = 0, 0
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the test is over
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve forwards one connection until it has ended.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server, ended: make(chan struct{})}
	p.mu.Lock()
	p.opened++
	p.links[l] = true
	p.mu.Unlock()
	select {
	case <-p.ended: // perhaps after the last Cut
		l.close()
	default:
	}

	var both sync.WaitGroup
	both.Go(func() { p.forward(l, Up, client, server) })
	both.Go(func() { p.forward(l, Down, server, client) })
	both.Wait()
	l.close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.ended)
		l.client.Close()
		l.server.Close()
	})
}

// forward passes on what comes from one side to the other until there is no more.
func (p *Proxy) forward(l *link, d Direction, from, to net.Conn) {
	held := make(chan piece, pieces)
	go func() {
		defer close(held)
		for {
			buf := make([]byte, pieceSize)
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case held <- piece{buf[:n], time.Now()}:
				case <-l.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for next := range held {
		if !p.wait(l, d, next) || !p.pass(d, to, next.data) {
			l.close()
		}
	}
	to.(*net.TCPConn).CloseWrite()
}

// wait returns when the piece may pass, or false when its link ended before.
func (p *Proxy) wait(l *link, d Direction, next piece) bool {
	p.mu.Lock()
	due := next.at.Add(p.delay)
	if p.rate > 0 {
		way := &p.ways[d]
		if now := time.Now(); way.free.Before(now) {
			way.free = now
		}
		way.free = way.free.Add(time.Duration(len(next.data)) * time.Second / time.Duration(p.rate))
		if due.Before(way.free) {
			due = way.free
		}
	}
	p.mu.Unlock()

	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ended:
		return false
	}
	p.mu.Lock()
	flowing := p.flowing
	p.mu.Unlock()
	select {
	case <-flowing:
		return true
	case <-l.ended:
		return false
	}
}

// pass sends data on, or the part of it before a cut. It returns false when the link has ended.
func (p *Proxy) pass(d Direction, to net.Conn, data []byte) bool {
	p.mu.Lock()
	way := &p.ways[d]
	last := way.cutAt > 0 && way.passed+int64(len(data)) >= way.cutAt
	if last {
		data = data[:way.cutAt-way.passed]
	}
	way.passed += int64(len(data))
	p.mu.Unlock()

	_, err := to.Write(data)
	if last {
		p.Cut()
	}
	return err == nil && !last
}
