package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nginx runs a real nginx in the foreground with its own prefix and waits until addr takes connections. conf is the content of
// the http block; everything around it (temporary paths, error log, one worker) is added here, so that it runs without rights
// and beside a system's nginx.
func Nginx(t testing.TB, addr, conf string) *Process {
	t.Helper()
	program, err := nginxProgram()
	if err != nil {
		t.Fatal(err)
	}
	prefix := t.TempDir()
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, []byte(nginxConf(prefix, conf)), 0o600); err != nil {
		t.Fatalf("cannot write nginx's configuration: %v", err)
	}
	p := Spawn(t, "nginx", program, "-p", prefix, "-c", file, "-e", filepath.Join(prefix, "error.log"))
	p.WaitTCP(t, addr)
	return p
}

// nginxConf keeps everything that nginx writes below prefix. It has no master process: the one process is the test's
// child and dies with it.
func nginxConf(prefix, http string) string {
	var temp strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "    %s_temp_path %s/%s;\n", name, prefix, name)
	}
	return fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %s/error.log warn;\nevents { worker_connections 1024; }\nhttp {\n    access_log off;\n%s%s\n}\n",
		prefix, prefix, temp.String(), http)
}

func nginxProgram() (string, error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find nginx: install the package nginx-light")
}
