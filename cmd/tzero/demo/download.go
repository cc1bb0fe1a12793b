package demo

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// noise is a file of any size that needs no memory: byte i depends on i alone, so that every range can
// be checked by whoever receives it.
type noise struct{ size, at int64 }

// word is the eight bytes at offset 8n: a mixing function, so that no compressor makes them smaller.
func word(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func (f *noise) Read(p []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.size-f.at)]
	done := 0
	for done < len(p) {
		var eight [8]byte
		binary.LittleEndian.PutUint64(eight[:], word(uint64(f.at)/8))
		n := copy(p[done:], eight[f.at%8:])
		done += n
		f.at += int64(n)
	}
	return done, nil
}

func (f *noise) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("cannot seek before the file's start")
	}
	f.at = offset
	return offset, nil
}

// download sends ?size= bytes, 1MiB without it; ranges work.
func (s *site) download(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query().Get("size")
	if asked == "" {
		asked = "1MiB"
	}
	size, ok := parseSize(asked)
	if !ok {
		answer(w, http.StatusBadRequest, cacheNever, problem{"size must be a number of bytes, or one with KiB, MiB or GiB, up to 16GiB"})
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="nimbus.bin"`)
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", `"noise-`+strconv.FormatInt(size, 10)+`"`)
	http.ServeContent(w, r, "", time.Time{}, &noise{size: size})
}

func parseSize(text string) (int64, bool) {
	unit := int64(1)
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = number, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxDownload/unit {
		return 0, false
	}
	return n * unit, true
}
