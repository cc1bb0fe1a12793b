//go:build linux

package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed peers/*.conf peers/*.cfg peers/*.vcl peers/*.yaml
var configurations embed.FS

// The servers, by the names in the tables.
const (
	tzero   = "tzero"
	nginx   = "nginx"
	nginxSF = "nginx-sendfile"
	haproxy = "haproxy"
	varnish = "varnish"
)

// settings fill the placeholders of a configuration.
type settings struct {
	Addr, Admin                    string
	Origin, OriginHost, OriginPort string
	Dir                            string
	Workers                        int
	Sendfile                       string
	Root                           bool
	Redis                          string // address that tzero shares with others; empty: none
}

// server is a running gateway.
type server struct {
	name    string
	addr    string
	admin   string // of tzero
	state   string // directory, of tzero
	version string
	cmd     *exec.Cmd
	ended   chan struct{}
	output  *os.File
	maxIdle int // connections that it can hold at most with the descriptors it has
}

// start renders the server's configuration into a folder of its own and runs it.
func start(name string, set settings, tzeroBinary string) (*server, error) {
	set.Dir = filepath.Join(set.Dir, name)
	if err := os.MkdirAll(filepath.Join(set.Dir, "state"), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a folder for %s: %w", name, err)
	}
	set.OriginHost, set.OriginPort, _ = strings.Cut(set.Origin, ":")
	set.Root = os.Geteuid() == 0
	set.Addr, set.Admin = freeAddr(), freeAddr()
	set.Sendfile = "off"
	s := &server{name: name, addr: set.Addr, admin: set.Admin, state: filepath.Join(set.Dir, "state"), ended: make(chan struct{}), maxIdle: 19000}
	argv, err := s.prepare(&set, tzeroBinary)
	if err != nil {
		return nil, err
	}
	if s.output, err = os.Create(filepath.Join(set.Dir, "output")); err != nil {
		return nil, fmt.Errorf("cannot write %s's output: %w", name, err)
	}
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	return s, s.awaitListener()
}

// prepare writes the configuration and returns the command line.
func (s *server) prepare(set *settings, tzeroBinary string) ([]string, error) {
	switch s.name {
	case tzero:
		s.version = firstLine(tzeroBinary, "version")
		file, err := render("tzero.yaml", set)
		return []string{tzeroBinary, "run", "-c", file}, err
	case nginx, nginxSF:
		if s.name == nginxSF {
			set.Sendfile = "on"
		}
		s.version = firstLine("nginx", "-v")
		file, err := render("nginx.conf", set)
		return []string{"nginx", "-p", set.Dir, "-c", file, "-e", filepath.Join(set.Dir, "error.log")}, err
	case haproxy:
		s.version, s.maxIdle = firstLine("haproxy", "-v"), 8900
		file, err := render("haproxy.cfg", set)
		return []string{"haproxy", "-db", "-f", file}, err
	case varnish:
		s.version = firstLine("varnishd", "-V")
		file, err := render("varnish.vcl", set)
		return varnishCommand(file, set), err
	}
	return nil, errors.New("there is no server " + s.name)
}

// varnishCommand sets what has no place in the VCL. The shared-memory log is what Varnish has for an access
// log; it is masked, as the others' is off.
func varnishCommand(file string, set *settings) []string {
	return []string{"varnishd", "-F", "-j", "none", "-n", set.Dir, "-a", set.Addr, "-f", file, "-s", "malloc,1g",
		"-p", fmt.Sprintf("thread_pools=%d", set.Workers), "-p", "thread_pool_min=300", "-p", "thread_pool_max=4000",
		"-p", "timeout_idle=600", "-p", "default_grace=10", "-p", "vsl_mask=" + varnishSilence}
}

func render(name string, set *settings) (string, error) {
	text, err := configurations.ReadFile("peers/" + name)
	if err != nil {
		return "", fmt.Errorf("cannot read a configuration: %w", err)
	}
	t, err := template.New(name).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("cannot read the configuration %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, set); err != nil {
		return "", fmt.Errorf("cannot fill in the configuration %s: %w", name, err)
	}
	file := filepath.Join(set.Dir, name)
	return file, os.WriteFile(file, b.Bytes(), 0o644)
}

func (s *server) awaitListener() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended at its start: %s", s.name, s.said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %s", s.name, s.said())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) said() string {
	b, _ := os.ReadFile(s.output.Name())
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return string(b)
}

// stop asks the server to end, waits, and then ends its process group.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(3 * time.Second):
	}
	_ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL)
	<-s.ended
	s.output.Close()
}

func freeAddr() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer ln.Close()
	return ln.Addr().String()
}

// firstLine is how a program introduces itself.
func firstLine(program string, args ...string) string {
	out, _ := exec.Command(program, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// varnishSilence masks the records that Varnish writes for every request.
const varnishSilence = "-Debug,-Begin,-End,-Link,-Timestamp,-ReqAcct,-ReqStart,-ReqMethod,-ReqURL,-ReqProtocol,-ReqHeader,-ReqUnset," +
	"-RespProtocol,-RespStatus,-RespReason,-RespHeader,-RespUnset,-BereqMethod,-BereqURL,-BereqProtocol,-BereqHeader,-BereqUnset," +
	"-BerespProtocol,-BerespStatus,-BerespReason,-BerespHeader,-BerespUnset,-ObjProtocol,-ObjStatus,-ObjReason,-ObjHeader," +
	"-VCL_call,-VCL_return,-VCL_use,-Hit,-HitMiss,-HitPass,-TTL,-Fetch_Body,-Storage,-Length,-BackendOpen,-BackendStart," +
	"-BackendClose,-BackendReuse,-BereqAcct,-SessOpen,-SessClose,-Gzip,-Filters,-WorkThread,-ExpKill,-ExpBan"
