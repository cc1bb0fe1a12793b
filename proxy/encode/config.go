package encode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config is the section `compression`.
type Config struct {
	Enabled   bool        `yaml:"enabled" doc:"Whether responses are compressed for clients that ask for it."`
	Codings   []string    `yaml:"codings" doc:"Codings offered, the preferred first; the client's own preference (q) goes before." enum:"zstd|br|gzip"`
	MinSize   conf.Size   `yaml:"min_size" doc:"Smallest body compressed; below it a response fits into the first packet anyway."`
	MaxStored conf.Size   `yaml:"max_stored" doc:"Largest stored object that is compressed once and kept beside the original. Larger ones are sent as they are."`
	MaxMemory conf.Size   `yaml:"max_memory" doc:"Memory for compressors at work, about 1MiB to 7MiB each. Responses that find none left are framed in their coding without being compressed."`
	Types     []string    `yaml:"types" doc:"Media types that are compressed: exact (application/json), text/* or *+json."`
	Levels    LevelConfig `yaml:"levels" doc:"Levels for responses compressed while they are sent."`
	Stored    LevelConfig `yaml:"stored_levels" doc:"Levels for stored objects, which are compressed once and sent many times."`
}

// LevelConfig holds a level for each coding.
type LevelConfig struct {
	Zstd int `yaml:"zstd" doc:"1 (fastest) to 11."`
	Br   int `yaml:"br" doc:"0 (fastest) to 9."`
	Gzip int `yaml:"gzip" doc:"1 (fastest) to 9."`
}

// Default returns a configuration that suits a web app. Fonts in woff and woff2, images other than SVG,
// bitmaps and icons, video and archives are compressed already and not in the list.
func Default() Config {
	return Config{
		Enabled:   true,
		Codings:   []string{"zstd", "br", "gzip"},
		MinSize:   1 << 10,
		MaxStored: 8 << 20,
		MaxMemory: 128 << 20,
		Types: []string{
			"text/*", "*+json", "*+xml", "application/json", "application/javascript", "application/x-javascript",
			"application/xml", "application/wasm", "application/x-ndjson", "application/graphql", "application/yaml",
			"application/toml", "application/rtf", "application/vnd.apple.mpegurl", "application/vnd.ms-fontobject",
			"application/x-font-ttf", "font/ttf", "font/otf", "font/sfnt", "font/collection",
			"image/bmp", "image/x-icon", "image/vnd.microsoft.icon",
		},
		Levels: LevelConfig{Zstd: 3, Br: 4, Gzip: 5},
		Stored: LevelConfig{Zstd: 7, Br: 6, Gzip: 7},
	}
}

// Validate checks the section.
func (c Config) Validate() []conf.Problem {
	var problems []conf.Problem
	add := func(path, format string, args ...any) {
		problems = append(problems, conf.Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	for i, name := range c.Codings {
		switch {
		case parseCoding([]byte(name)) == Identity || name == "x-gzip":
			add(fmt.Sprintf("codings[%d]", i), "%q is not one of zstd, br and gzip", name)
		case slices.Contains(c.Codings[:i], name):
			add(fmt.Sprintf("codings[%d]", i), "%s stands here twice", name)
		}
	}
	if c.Enabled && len(c.Codings) == 0 {
		add("codings", "the list is empty; name at least one coding, or set enabled: false")
	}
	for i, t := range c.Types {
		if !validType(t) {
			add(fmt.Sprintf("types[%d]", i), "%q is neither a media type (application/json) nor text/* nor *+json", t)
		}
	}
	if c.MinSize < 0 || c.MinSize > 1<<20 {
		add("min_size", "%s is not between 0 and 1MiB", c.MinSize)
	}
	if c.MaxStored < 0 || c.MaxStored > 64<<20 {
		add("max_stored", "%s is not between 0 and 64MiB: it is compressed in one go", c.MaxStored)
	}
	if c.Enabled && int64(c.MaxMemory) < largestCost {
		add("max_memory", "%s is less than one compressor needs; give at least %s", c.MaxMemory, conf.Size(largestCost))
	}
	problems = append(problems, conf.Under("levels", c.Levels.Validate())...)
	return append(problems, conf.Under("stored_levels", c.Stored.Validate())...)
}

// Validate checks the levels. Brotli's 10 and 11 take seconds for a script bundle and are not offered.
func (l LevelConfig) Validate() []conf.Problem {
	var problems []conf.Problem
	for _, r := range []struct {
		key         string
		n, low, top int
	}{{"zstd", l.Zstd, 1, 11}, {"br", l.Br, 0, 9}, {"gzip", l.Gzip, 1, 9}} {
		if r.n < r.low || r.n > r.top {
			problems = append(problems, conf.Problem{Path: r.key, Reason: fmt.Sprintf("%d is not between %d and %d", r.n, r.low, r.top)})
		}
	}
	return problems
}

// validType admits type/subtype, type/* and *+suffix, in lower case.
func validType(t string) bool {
	if suffix, ok := strings.CutPrefix(t, "*+"); ok {
		return plainName(suffix)
	}
	kind, sub, ok := strings.Cut(t, "/")
	return ok && plainName(kind) && (sub == "*" || plainName(sub))
}

func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("+-._", c) >= 0) {
			return false
		}
	}
	return s != "" && len(s) <= maxType
}
