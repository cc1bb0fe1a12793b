//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// The origin's paths and what they answer. Content that may be stored may be for an hour, has validators, and
// is of a type that nobody compresses, but for /pre, which the origin has compressed already.
const (
	path1K   = "/hit/1k"
	path100K = "/hit/100k"
	pathPre  = "/pre/page"
	pathDyn  = "/dyn/1k" // private, no-store
	pathZipf = "/z/"     // and a number, which decides the size
	pathMany = "/m/"     // and a number; 1 KiB each
	pathTold = "/count"  // how many requests came, this one not included
)

// preContent is what /pre answers, in gzip: about 10 KiB of 60.
var preContent = func() []byte {
	var plain, packed bytes.Buffer
	for i := range 1500 {
		fmt.Fprintf(&plain, ".c%d{color:#%06x;margin:%dpx %dpx}\n", i, uint32(i)*2654435761>>8, i%17, i%23)
	}
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, _ = w.Write(plain.Bytes())
	_ = w.Close()
	return packed.Bytes()
}()

// zipfSize is the size of the nth object of the mixed load: 512 B to 32 KiB.
func zipfSize(n int) int { return 512 << (uint32(n) * 2654435761 >> 16 % 7) }

// runOrigin serves until the process is ended.
func runOrigin(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot start the origin: %w", err)
	}
	o := &origin{content: bytes.Repeat([]byte("0123456789abcdef"), 100<<10/16), modified: time.Now().Add(-time.Hour).UTC()}
	s := &fasthttp.Server{Handler: o.handle, Name: "origin", Concurrency: 1 << 16, IdleTimeout: time.Hour}
	return s.Serve(ln)
}

type origin struct {
	content  []byte
	modified time.Time
	count    atomic.Int64
}

func (o *origin) handle(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if path == pathTold {
		ctx.SetBodyString(strconv.FormatInt(o.count.Load(), 10))
		return
	}
	o.count.Add(1)
	h := &ctx.Response.Header
	h.SetContentType("application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	if path == pathDyn {
		h.Set("Cache-Control", "private, no-store")
		ctx.SetBody(o.content[:1<<10])
		return
	}
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Last-Modified", o.modified.Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	size := 1 << 10
	switch {
	case path == path100K:
		size = 100 << 10
	case path == pathPre:
		o.precompressed(ctx)
		return
	case strings.HasPrefix(path, pathZipf):
		n, _ := strconv.Atoi(path[len(pathZipf):])
		size = zipfSize(n)
	}
	h.Set("ETag", etagOf(path))
	ctx.SetBody(o.content[:size])
}

func etagOf(path string) string { return `"v1` + strings.ReplaceAll(path, "/", "-") + `"` }

// precompressed answers in gzip to everybody who takes it, and all of the servers do.
func (o *origin) precompressed(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.SetContentType("text/css; charset=utf-8")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", etagOf(pathPre))
	if !bytes.Contains(ctx.Request.Header.Peek("Accept-Encoding"), []byte("gzip")) {
		ctx.Error("gzip is what there is", fasthttp.StatusNotAcceptable)
		return
	}
	h.Set("Content-Encoding", "gzip")
	ctx.SetBody(preContent)
}
