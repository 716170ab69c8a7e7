package sftp_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/store/sftp"
)

const password = "correct horse battery"

// server is OpenSSH's sshd on loopback, with one user who is locked into a folder and may only use SFTP.
type server struct {
	port    int
	user    string
	root    string // the folder that the user sees as /
	home    string // the folder in it that the user owns: /home
	hostKey string
	key     []byte // private key that the server accepts
}

// users counts the system users that this process made.
var users atomic.Int32

// needServer skips the test where no sshd can be run, or fails it in CI.
func needServer(t testing.TB) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("CI") != "" {
		skip = t.Fatalf
	}
	if os.Getuid() != 0 {
		skip("NOT TESTED: sshd and its user need root")
	}
	for _, program := range []string{"/usr/sbin/sshd", "/usr/sbin/useradd", "/usr/bin/openssl"} {
		if _, err := os.Stat(program); err != nil {
			skip("NOT TESTED: %v (packages openssh-server, passwd, openssl)", err)
		}
	}
}

func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// startServer starts sshd for a new user. settings go before those of the test in its sshd_config, and the first one of a kind counts.
func startServer(t testing.TB, settings ...string) *server {
	t.Helper()
	needServer(t)
	// sshd wants every folder above a chroot to be writable by root alone, so it cannot be in /tmp.
	dir, err := os.MkdirTemp("/var/lib", "sftp-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{user: addUser(t), root: filepath.Join(dir, "root"), home: filepath.Join(dir, "root", "home")}
	run(t, "chmod", "755", dir)
	run(t, "install", "-d", "-m", "755", s.root, "/run/sshd")
	run(t, "install", "-d", "-o", s.user, s.home)
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "host-key"))
	s.hostKey = publicKey(t, filepath.Join(dir, "host-key.pub"))

	private, public, err := sftp.NewKey("made by the test")
	if err != nil {
		t.Fatal(err)
	}
	s.key = private
	if err := os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(public+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.port = freePort(t)
	s.start(t, dir, settings)
	return s
}

// addUser makes a system user with a password, which is removed at the end.
func addUser(t testing.TB) string {
	t.Helper()
	user := fmt.Sprintf("sftp-test-%d-%d", os.Getpid(), users.Add(1))
	hash := run(t, "openssl", "passwd", "-6", password)
	run(t, "useradd", "--system", "--no-create-home", "--home-dir", "/home", "--shell", "/usr/sbin/nologin", "--password", hash, user)
	t.Cleanup(func() { run(t, "userdel", "--force", user) })
	return user
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// publicKey reads a public key without its comment.
func publicKey(t testing.TB, path string) string {
	t.Helper()
	line, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(line))
	return fields[0] + " " + fields[1]
}

// start runs sshd until the test ends, and waits until it answers.
func (s *server) start(t testing.TB, dir string, settings []string) {
	t.Helper()
	if !strings.Contains(strings.Join(settings, "\n"), "Subsystem") { // the one of which there may be several
		settings = append(settings, "Subsystem sftp internal-sftp")
	}
	config := strings.Join(settings, "\n") + fmt.Sprintf(`
ListenAddress 127.0.0.1:%d
HostKey %s/host-key
AuthorizedKeysFile %[2]s/authorized_keys
AllowUsers %s
PidFile none
UsePAM no
UseDNS no
KbdInteractiveAuthentication no
MaxStartups 1000
ForceCommand internal-sftp -d /home
ChrootDirectory %s
`, s.port, dir, s.user, s.root)
	path := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", path)
	cmd.Stderr = &log
	cmd.WaitDelay = time.Second // its sessions may hold stderr for longer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", log.String())
		}
	})
	for range 100 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("sshd does not answer")
}

// config logs in with the password and keeps objects in a folder of the user's that is not there yet.
func (s *server) config() sftp.Config {
	return sftp.Config{
		Host: "127.0.0.1", Port: s.port, User: s.user, Path: "/home/a repository/für Dokku", Password: password, HostKey: s.hostKey, Timeout: 10 * time.Second,
	}
}

// open is the store of c, closed at the end.
func open(t testing.TB, c sftp.Config) *sftp.Store {
	t.Helper()
	s, err := sftp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
