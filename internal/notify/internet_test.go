package notify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// internet is all hosts elsewhere, as these tests see them: a proxy leads each connection to one HTTPS server, with a certificate that is valid for
// any name. It keeps what it is sent.
type internet struct {
	server, proxy *httptest.Server
	cut           atomic.Bool // nobody is reached

	mu    sync.Mutex
	posts []posted
}

// connect begins an internet and leads this process to it.
func connect(folder string) (*internet, error) {
	n := &internet{}
	certificate, err := n.certify(filepath.Join(folder, "ca.pem"))
	if err != nil {
		return nil, err
	}
	n.server = httptest.NewUnstartedServer(http.HandlerFunc(n.answer))
	own, err := certificate("127.0.0.1")
	if err != nil {
		return nil, err
	}
	n.server.TLS = &tls.Config{Certificates: []tls.Certificate{*own}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(hello.ServerName) }}
	n.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	n.server.Config.SetKeepAlivesEnabled(false) // so that a cut is one
	n.server.StartTLS()
	n.proxy = httptest.NewServer(http.HandlerFunc(n.lead))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		os.Setenv(name, n.proxy.URL)
	}
	os.Setenv("SSL_CERT_FILE", filepath.Join(folder, "ca.pem"))
	return n, nil
}

// certify makes a certificate authority, keeps its certificate at path, and returns what signs a certificate for a host.
func (n *internet) certify(path string) (func(host string) (*tls.Certificate, error), error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "of the tests"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	certificate := func(host string) (*tls.Certificate, error) {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: authority.NotBefore, NotAfter: authority.NotAfter, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), key)
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}
	return certificate, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// lead is the proxy.
func (n *internet) lead(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || n.cut.Load() || strings.HasSuffix(r.Host, ".invalid:443") {
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	there, err := net.Dial("tcp", n.server.Listener.Addr().String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		there.Close()
		return
	}
	go func() {
		defer there.Close()
		_, _ = io.Copy(there, buffered)
	}()
	defer here.Close()
	_, _ = io.Copy(here, there)
}

// answer is every server: it keeps the request, and says what each of the services is glad to hear.
func (n *internet) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	n.posts = append(n.posts, posted{r.URL.Path, string(body) + fmt.Sprint(r.Header)})
	n.mu.Unlock()
	if strings.Contains(string(body)+r.URL.Path, "refuse-this") {
		http.Error(w, `{"ok":false,"error_code":403,"description":"no"}`, http.StatusForbidden)
		return
	}
	if r.Host == "hooks.slack.com" || strings.HasPrefix(r.URL.Path, "/hooks/") {
		_, _ = io.WriteString(w, "ok")
		return
	}
	_, _ = io.WriteString(w, `{"ok":true,"status":1,"result":{},"room_id":"!canaryroom:example.org","event_id":"1"}`)
}

// told are the requests that hold a word, with their headers.
func (n *internet) told(word string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, p := range n.posts {
		if strings.Contains(p.body, word) {
			all = append(all, p.body)
		}
	}
	return all
}

// TestKinds: each kind tells once, and knows a refusal for one.
func TestKinds(t *testing.T) {
	for kind, rawURL := range urls() {
		if kind == "smtp" || kind == "ping" {
			continue // see TestMail and TestPing
		}
		rawURL = strings.Replace(strings.Replace(rawURL, "127.0.0.1:1", elsewhere.server.Listener.Addr().String(), 1), "+http://", "+https://", 1)
		for _, what := range []string{"take-this", "refuse-this"} {
			t.Run(kind+" "+what, func(t *testing.T) {
				t.Parallel()
				word := what + "-" + kind
				failures := teller(t, t.TempDir(), receiver(t, "ops", rawURL, "")).Tell(t.Context(), event(Failed, word, noon))
				const subject = "Backup FAILED"
				if got := elsewhere.told(word); len(got) != 1 || !strings.Contains(strings.ReplaceAll(got[0], "+", " "), subject) {
					t.Errorf("got %q, want one message with its subject", got)
				}
				switch {
				case what == "take-this" && len(failures) > 0:
					t.Errorf("got failures %q, want none", failures)
				case what == "refuse-this" && (len(failures) != 1 || strings.Contains(failures[0].Why, "canary")):
					t.Errorf("got failures %q, want one, without secrets", failures)
				}
			})
		}
	}
}
