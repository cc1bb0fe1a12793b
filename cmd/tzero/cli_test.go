package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tzero runs a command line in this process.
func tzero(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	cmd := command()
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(context.Background())
	return b.String(), err
}

func has(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

func TestExplainWithoutAsking(t *testing.T) {
	out, err := tzero(t, "explain", "--origin", "http://127.0.0.1:1", "http://shop.test/a?utm_source=x&b=1", "-H", "Cookie: a=b", "-H", "X_Bad: 1")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "route", "lookup    uri-miss", "GET /a?b=1 HTTP/1.1", "Host: shop.test", "Cookie: a=b", "--fetch")
	if strings.Contains(out, "X_Bad") {
		t.Errorf("a header that is dropped is shown as sent:\n%s", out)
	}
}

func TestExplainOfARefusedRequest(t *testing.T) {
	out, err := tzero(t, "explain", "--origin", "http://127.0.0.1:1", "http://shop.test/", "-H", "Bad Name: 1")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "recv      bad-field-name", "400 Bad Request", "detail=bad-field-name")
}

func TestExplainTwiceShowsTheHit(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("page"))
	}))
	defer origin.Close()
	out, err := tzero(t, "explain", "--origin", origin.URL, "http://shop.test/", "--fetch", "--twice")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "fwd=uri-miss; stored", "And once more:", "tzero; hit; ttl=", "(4 bytes of content)")
}

func TestExplainNeedsAURL(t *testing.T) {
	_, err := tzero(t, "explain", "--origin", "http://127.0.0.1:1", "shop.test/a")
	if err == nil || exitCode(err) != 2 {
		t.Fatalf("%v", err)
	}
	has(t, err.Error(), `"shop.test/a" is no URL`)
}

func TestCheckShowsWhatItAmountsTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tzero.yaml")
	text := "origins:\n  app: {targets: [\"http://127.0.0.1:3000\"]}\nadmin: {token: \"very-secret-token-of-some-length\"}\n" +
		"routes:\n  - {match: {path: /api/*}, origin: app, cache: {mode: never}}\n  - {origin: app}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := tzero(t, "check", "-c", file)
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "mode: never", "# Routes, in the order in which they are tried:", "/api/*")
	if strings.Contains(out, "very-secret") {
		t.Errorf("a secret is shown:\n%s", out)
	}
}

func TestCheckPlacesEveryProblem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tzero.yaml")
	text := "origins:\n  app: {targts: [\"http://127.0.0.1:3000\"]}\nroutes:\n  - {origin: ap}\nlimits: {header_timeout: 10}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := tzero(t, "check", "-c", file)
	if err == nil {
		t.Fatal("accepted")
	}
	has(t, err.Error(), file+":2:", "targets", file+":5:", "unit")
}

func TestRunWithoutAnOriginSaysWhatToDo(t *testing.T) {
	_, err := tzero(t, "check")
	if err == nil {
		t.Fatal("accepted")
	}
	has(t, err.Error(), "--origin")
}

func TestVersionAndHelp(t *testing.T) {
	out, err := tzero(t, "version")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "tzero ", "go1.")
	out, err = tzero(t, "--help")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "run", "demo", "check", "explain", "reload", "completion", "version")
	if out, err = tzero(t, "completion", "bash"); err != nil || !strings.Contains(out, "__start_tzero") {
		t.Errorf("no completion: %v", err)
	}
}

func TestReloadWithoutAGatewaySaysWhereItLooked(t *testing.T) {
	dir := t.TempDir()
	_, err := tzero(t, "reload", "--state-dir", dir)
	if err == nil {
		t.Fatal("reloaded what does not run")
	}
	has(t, err.Error(), dir)
}
