// Package decisionlog writes one line for each request with every decision that was taken on its way
// and the reason. Lines are made at the end of the request, from the [proxy.Outcome], and appended to
// memory; one owned goroutine writes them. Nothing here ever makes a request wait: a full memory
// drops the line and counts it.
package decisionlog

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy"
)

// Log is the decision log. It is a [proxy.Observer]; [Log.Run] writes what was observed.
type Log struct {
	settings atomic.Pointer[settings]
	blocks   *blocks
	scratch  sync.Pool // of *[]byte: a line is built outside the lock
	reopen   chan struct{}
	logger   *slog.Logger
	open     func(output string) (*sink, error)

	written, bytes, errors atomic.Uint64
}

// settings are everything a reload replaces at once.
type settings struct {
	rules   *rules
	privacy privacy
	text    bool
	output  string
	flush   conf.Duration
}

// Stats is a snapshot of the log's account.
type Stats struct {
	Written uint64 // lines
	Dropped uint64 // lines lost: memory full, or never written before the end
	Errors  uint64 // failed writes; the lines are kept and tried again
	Bytes   uint64
}

var _ proxy.Observer = (*Log)(nil)

// New makes a log from a valid Config. logger is told once when writing fails and once when it works
// again. The output is opened by Run, at the first line.
func New(c Config, logger *slog.Logger) *Log {
	l := &Log{
		blocks: newBlocks(int(c.Buffer) / 2),
		reopen: make(chan struct{}, 1),
		logger: logger,
		open:   openSink,
	}
	l.scratch.New = func() any {
		b := make([]byte, 0, 2048)
		return &b
	}
	l.settings.Store(newSettings(c))
	return l
}

func newSettings(c Config) *settings {
	return &settings{
		rules: compile(c), privacy: privacyOf(c), text: c.Format == "text", output: c.Output, flush: c.Flush,
	}
}

// Observe appends o's line, if it gets one. It neither waits nor allocates.
func (l *Log) Observe(o *proxy.Outcome) { l.observe(o, o.Steps()) }

func (l *Log) observe(o *proxy.Outcome, steps []proxy.Step) {
	s := l.settings.Load()
	if !s.rules.keep(o, steps) {
		return
	}
	buf := l.scratch.Get().(*[]byte)
	*buf = appendLine((*buf)[:0], s.text, s.privacy, o, steps)
	l.blocks.put(*buf)
	l.scratch.Put(buf)
}

// Apply replaces the settings after a reload and has a file opened again.
func (l *Log) Apply(c Config) {
	l.blocks.resize(int(c.Buffer) / 2)
	l.settings.Store(newSettings(c))
	l.Reopen()
}

// Reopen has a file opened again, for log rotation. It does not wait.
func (l *Log) Reopen() { signal(l.reopen) }

// Stats returns the account so far.
func (l *Log) Stats() Stats {
	return Stats{
		Written: l.written.Load(),
		Dropped: l.blocks.droppedLines(),
		Errors:  l.errors.Load(),
		Bytes:   l.bytes.Load(),
	}
}
