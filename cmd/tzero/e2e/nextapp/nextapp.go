// Package nextapp builds and runs Next.js applications that others have published, so that tests can put
// them behind tzero: prepare.sh says which they are and that they run unchanged.
//
//	app := nextapp.Start(t, nextapp.CacheLab)
//	gw := harness.Start(t, harness.Config{Origin: app.URL}.YAML(t))
package nextapp

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// App names an application; it is also the name of its directory.
type App string

// The applications. T3, Tutorial and CacheLab were published by others, Slow is ours.
const (
	T3       App = "t3"       // streamed server components, tRPC, fonts, hashed assets
	Tutorial App = "tutorial" // the pages router, the image route
	CacheLab App = "cachelab" // incremental revalidation, API routes; its cache is in Redis
	Slow     App = "slow"     // a page that comes in three parts, 500 ms and 1 s apart
)

// Apps lists all applications.
func Apps() []App { return []App{T3, Tutorial, CacheLab, Slow} }

// Pages are the paths to look at. Each answers 200 with a document and loads without a complaint; that is
// why the first page of CacheLab is missing, which links to an address that CacheLab does not have.
func (a App) Pages() []string {
	switch a {
	case Tutorial:
		return []string{"/", "/posts/ssg-ssr", "/posts/pre-rendering"}
	case CacheLab:
		return []string{
			"/pages/no-fetch/default-page",
			"/pages/cached-static-fetch/revalidate15--default-page",
			"/pages/revalidated-fetch/revalidate15--default-page",
			"/pages/revalidated-fetch/default--force-dynamic-page",
			"/pages/uncached-fetch/default--force-dynamic-page",
		}
	case Slow:
		return []string{"/", "/stream"}
	default:
		return []string{"/"}
	}
}

// Server is an application that answers at URL until the test ends.
type Server struct {
	*harness.Process
	URL string
}

// Prepare installs and builds the applications where that has not been done and returns their directory.
// The first time takes minutes and downloads packages with npm; later it is done at once.
func Prepare(t testing.TB) string {
	t.Helper()
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("cannot find the directory of prepare.sh")
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(filepath.Dir(self), "prepare.sh"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil && !npmAnswers(t) {
		t.Skipf("the Next.js applications are not built yet, and npm cannot reach its registry to build them: %v", err)
	}
	if err != nil {
		t.Fatalf("cannot prepare the Next.js applications: %v\n%s", err, said.String())
	}
	return strings.TrimSpace(string(out))
}

// npmAnswers tells a machine without a network from an application that does not build.
func npmAnswers(t testing.TB) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "npm", "ping").Run() == nil
}

// Start runs `next start` for an application on a free port and waits until its first page is there.
func Start(t testing.TB, app App) *Server {
	t.Helper()
	dir := Prepare(t)
	port := harness.FreePort(t)
	env := []string{"-C", filepath.Join(dir, string(app)), "NEXT_TELEMETRY_DISABLED=1", "NODE_ENV=production",
		fmt.Sprintf("NODE_OPTIONS=--require=%q", filepath.Join(dir, "node18.js"))}
	if app == CacheLab {
		env = append(env, "REDISHOST=127.0.0.1", fmt.Sprintf("REDISPORT=%d", startRedis(t)),
			fmt.Sprintf("NEXT_START_PORT=%d", port), "VERCEL_URL=cachelab")
	}
	args := append(env, "node", filepath.Join(dir, "node_modules/next/dist/bin/next"), "start", "-H", "127.0.0.1", "-p", strconv.Itoa(port))
	s := &Server{
		Process: harness.Spawn(t, "next start "+string(app), "env", args...),
		URL:     fmt.Sprintf("http://127.0.0.1:%d", port),
	}
	s.WaitHTTP(t, s.URL+"/")
	return s
}

// startRedis runs an empty Redis that writes nothing to disk; the cache handler of CacheLab insists on
// being told of expired and evicted keys.
func startRedis(t testing.TB) (port int) {
	t.Helper()
	port = harness.FreePort(t)
	p := harness.Spawn(t, "redis-server", "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--notify-keyspace-events", "Exe")
	p.WaitTCP(t, fmt.Sprintf("127.0.0.1:%d", port))
	return port
}
