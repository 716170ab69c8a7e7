package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// cancelGrace is how long a request whose context ended may still take to clean up after itself, before its connection is cut.
const cancelGrace = 2 * time.Second

// connection is one login with one SFTP session.
type connection struct {
	ssh   *ssh.Client
	sftp  *sftp.Client
	ended chan struct{} // closed when the connection is no more
	why   error         // set before ended is closed
}

// do runs fn on the connection, which it makes where there is none. When ctx ends fn has a moment to notice; then the connection is cut.
func (s *Store) do(ctx context.Context, doing string, fn func(*sftp.Client) error) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(cancelGrace):
			conn.close()
		}
	})()
	return s.outcome(ctx, conn, doing, fn(conn.sftp))
}

// outcome says why fn failed, when it did: rather why its connection broke than that it did.
func (s *Store) outcome(ctx context.Context, conn *connection, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, io.EOF) {
		conn.close() // which waits until it is known why
	}
	if conn.broken() {
		err = fmt.Errorf("the connection broke: %w", s.reason(conn.why))
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// reason is why a connection ended, for a person.
func (s *Store) reason(why error) error {
	switch {
	case errors.Is(why, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing came from the server for %v", s.config.Timeout)
	case errors.Is(why, io.EOF):
		return errors.New("the server closed it")
	case errors.Is(why, net.ErrClosed): // by watch
		return errors.New("its SFTP session ended")
	}
	return why
}

// connect gives the connection, a new one where there is none that works.
func (s *Store) connect(ctx context.Context) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.conn != nil && !s.conn.broken() {
		return s.conn, nil
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return conn, nil
}

// dial makes a new connection.
func (s *Store) dial(ctx context.Context) (*connection, error) {
	tcp, err := dialTCP(ctx, s.config.Host, s.config.Port, s.config.Timeout)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	conn, err := s.open(tcp)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		tcp.Close()
		return nil, err
	}
	go conn.watch()
	go conn.keepAlive(s.config.Timeout / 3)
	return conn, nil
}

// open logs in and opens an SFTP session.
func (s *Store) open(tcp net.Conn) (*connection, error) {
	c, channels, requests, err := ssh.NewClientConn(tcp, tcp.RemoteAddr().String(), s.login)
	if err != nil {
		return nil, s.loginProblem(err)
	}
	client := ssh.NewClient(c, channels, requests)
	session, err := sftp.NewClient(client)
	if err != nil {
		return nil, s.sessionProblem(err)
	}
	return &connection{ssh: client, sftp: session, ended: make(chan struct{})}, nil
}

// watch waits for the end of the connection, or of its session.
func (c *connection) watch() {
	c.sftp.Wait()
	c.ssh.Close()
	c.why = c.ssh.Wait()
	close(c.ended)
}

// keepAlive asks the server for an answer now and then, so that silence means that the connection is dead.
func (c *connection) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.ended:
			return
		case <-tick.C:
			// OpenSSH's own name for it; servers that do not know it answer too.
			c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		}
	}
}

// broken says whether the connection has ended.
func (c *connection) broken() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// close cuts the connection; what is under way on it fails.
func (c *connection) close() {
	c.ssh.Close()
	<-c.ended
}

// dialTCP connects to the server.
func dialTCP(ctx context.Context, host string, port int, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	tcp, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &patientConn{Conn: tcp, timeout: timeout}, nil
}

// patientConn is a connection on which a read or a write fails when it gets nowhere for timeout.
type patientConn struct {
	net.Conn
	timeout time.Duration
}

func (c *patientConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *patientConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
