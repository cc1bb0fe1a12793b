package http1

import (
	"bytes"
	"io"
	"testing"
)

// browserRequest is what Chrome sends for a page, with two cookies: 640 bytes.
const browserRequest = "GET /pricing?ref=producthunt HTTP/1.1\r\n" +
	"Host: launch.example.com\r\n" +
	"Connection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: none\r\n" +
	"Sec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-Dest: document\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: session=8f2c1b7e9d3a4f5e; theme=dark\r\n" +
	"\r\n"

const originResponse = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\n" +
	"Cache-Control: public, max-age=60\r\nETag: \"abc123\"\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nVary: Accept-Encoding\r\nServer: demo\r\n\r\n"

// again gives the same bytes for every Read of a message.
type again struct {
	data []byte
	at   int
	most int // bytes per Read; 0 for all
}

func (s *again) Read(p []byte) (int, error) {
	if s.at == len(s.data) {
		s.at = 0
	}
	rest := s.data[s.at:]
	if s.most > 0 && len(rest) > s.most {
		rest = rest[:s.most]
	}
	n := copy(p, rest)
	s.at += n
	return n, nil
}

func BenchmarkReadRequest(b *testing.B) {
	r := NewReader(&again{data: []byte(browserRequest)}, Limits{})
	var q Request
	b.SetBytes(int64(len(browserRequest)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadRequest(&q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadRequestIdle(b *testing.B) {
	r := NewReader(&again{data: []byte(browserRequest)}, Limits{})
	var q Request
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadRequest(&q); err != nil {
			b.Fatal(err)
		}
		r.Idle()
	}
}

func BenchmarkReadRequestByteByByte(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10} {
		b.Run(map[int]string{4 << 10: "4KiB", 16 << 10: "16KiB"}[size], func(b *testing.B) {
			head := "GET / HTTP/1.1\r\nHost: a\r\nX: " + string(bytes.Repeat([]byte("a"), size-64)) + "\r\n\r\n"
			r := NewReader(&again{data: []byte(head), most: 1}, Limits{})
			var q Request
			b.SetBytes(int64(len(head)))
			for b.Loop() {
				if err := r.ReadRequest(&q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadResponse(b *testing.B) {
	msg := []byte(originResponse + string(make([]byte, 1024)))
	r := NewReader(&again{data: msg}, Limits{})
	var p Response
	method := []byte("GET")
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadResponse(&p, method); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Body().WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChunkedBody(b *testing.B) {
	msg := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 64 {
		msg = AppendChunk(msg, make([]byte, 1024))
	}
	msg = AppendLastChunk(msg, nil)
	r := NewReader(&again{data: msg}, Limits{})
	var p Response
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.ReadResponse(&p, nil); err != nil {
			b.Fatal(err)
		}
		if n, err := r.Body().WriteTo(io.Discard); err != nil || n != 64<<10 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkValidHost(b *testing.B) {
	host := []byte("launch.example.com:8080")
	for b.Loop() {
		if !ValidHost(host) {
			b.Fatal()
		}
	}
}
