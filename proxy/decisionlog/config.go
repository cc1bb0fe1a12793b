package decisionlog

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config is the decision log's part of the configuration. All of it applies at a reload.
type Config struct {
	Enabled    bool          `yaml:"enabled" doc:"Write the decision log."`
	Output     string        `yaml:"output" doc:"Where the lines go: stdout, stderr, or the absolute path of a file. A file is opened again after a reload and when it was rotated away."`
	Format     string        `yaml:"format" enum:"json|text" doc:"One JSON object a line, or key=value pairs."`
	Sample     float64       `yaml:"sample" doc:"Share of the requests that get a line, from 0 to 1, once full_rate is exceeded. Chosen by the request id, so that it is the same requests everywhere. Errors from 500 and slow requests always get one, refusals up to 500 a second."`
	FullRate   int           `yaml:"full_rate" doc:"This many lines a second are written before sampling begins."`
	Slow       conf.Duration `yaml:"slow" doc:"A request that took longer always gets a line; 0 turns this off."`
	DropStatic bool          `yaml:"drop_static" doc:"Leave out successful requests for styles, scripts, images, fonts and media."`
	SkipRoutes []string      `yaml:"skip_routes" doc:"Leave out requests to these routes, unless they failed or were slow."`
	SkipClass  []string      `yaml:"skip_classes" enum:"1xx|2xx|3xx|4xx|5xx" doc:"Leave out answers of these status classes, unless they are errors from 500, refusals or slow."`
	Everything bool          `yaml:"everything" doc:"Write every request, without sampling or filters. Meant for the hunt after a fault."`
	Address    string        `yaml:"address" enum:"truncated|full|none" doc:"How client addresses are written; truncated keeps /24 of IPv4 and /48 of IPv6."`
	Query      string        `yaml:"query" enum:"redacted|full|none" doc:"How queries are written, the referer's too; redacted keeps the names and replaces every value by *."`
	Buffer     conf.Size     `yaml:"buffer" doc:"Memory for lines that wait to be written. When it is full, lines are dropped and counted; requests never wait."`
	Flush      conf.Duration `yaml:"flush" doc:"Longest time that a line waits for others to be written with it."`
}

// Default returns the settings without a configuration file.
func Default() Config {
	return Config{
		Enabled:    true,
		Output:     "stdout",
		Format:     "json",
		Sample:     0.01,
		FullRate:   100,
		Slow:       conf.Duration(time.Second),
		DropStatic: true,
		Address:    "truncated",
		Query:      "redacted",
		Buffer:     1 << 20,
		Flush:      conf.Duration(200 * time.Millisecond),
	}
}

const (
	// Two halves must each hold the longest possible line; a test computes that.
	minBuffer = 256 << 10
	maxBuffer = 256 << 20
	maxFlush  = 10 * time.Second
)

// Validate reports what is wrong.
func (c Config) Validate() []conf.Problem {
	var out []conf.Problem
	bad := func(path, reason string) { out = append(out, conf.Problem{Path: path, Reason: reason}) }
	if c.Output != "stdout" && c.Output != "stderr" && !filepath.IsAbs(c.Output) {
		bad("output", "must be stdout, stderr or an absolute path")
	}
	if strings.HasSuffix(c.Output, "/") {
		bad("output", "names a directory; give the file's name too")
	}
	oneOf := func(path, value string, words ...string) {
		for _, w := range words {
			if value == w {
				return
			}
		}
		bad(path, "must be one of "+strings.Join(words, ", "))
	}
	oneOf("format", c.Format, "json", "text")
	oneOf("address", c.Address, "truncated", "full", "none")
	oneOf("query", c.Query, "redacted", "full", "none")
	if !(c.Sample >= 0 && c.Sample <= 1) {
		bad("sample", "must lie between 0 and 1")
	}
	if c.FullRate < 0 || c.FullRate > maxFullRate {
		bad("full_rate", "must lie between 0 and 1000000")
	}
	for _, class := range c.SkipClass {
		oneOf("skip_classes", class, "1xx", "2xx", "3xx", "4xx", "5xx")
	}
	if c.Buffer < minBuffer || c.Buffer > maxBuffer {
		bad("buffer", "must lie between 256KiB and 256MiB")
	}
	if c.Flush.D() <= 0 || c.Flush.D() > maxFlush {
		bad("flush", "must lie between 1ms and 10s")
	}
	return out
}
