package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/tunnel"
	"github.com/tzero-edge/tzero/ratelimit"
)

type explainFlags struct {
	settingFlags
	headers []string
	method  string
	peer    string
	fetch   bool
	twice   bool
}

func explainCommand() *cobra.Command {
	f := explainFlags{}
	cmd := &cobra.Command{
		Use:   "explain URL",
		Short: "Show the journey of one request, with every decision and its reason",
		Long: "Show how a request would go: what the door makes of it, which route takes it, what the cache says, what the\n" +
			"origin would be asked. With --fetch the origin is asked, and the answer judged; a second time with --twice.",
		Example: "  tzero explain --origin http://127.0.0.1:3000 http://shop.example/prices?utm_source=x -H 'Cookie: session=1'\n" +
			"  tzero explain -c tzero.yaml https://shop.example/ --fetch --twice",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("explain takes one URL, as in: tzero explain https://shop.example/prices")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			_, l, err := f.load()
			if err != nil {
				return err
			}
			return f.explain(cmd.Context(), l.Config, args[0], cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "a request header, as 'Name: value'; may be repeated")
	fs.StringVarP(&f.method, "method", "X", "GET", "the request's method")
	fs.StringVar(&f.peer, "peer", "192.0.2.1", "the client's `ADDRESS`")
	fs.BoolVar(&f.fetch, "fetch", false, "ask the origin")
	fs.BoolVar(&f.twice, "twice", false, "send the request twice, to see what was stored (needs --fetch)")
	return cmd
}

func (f *explainFlags) explain(ctx context.Context, c *configs.Config, rawURL string, out io.Writer) error {
	raw, https, err := f.request(rawURL)
	if err != nil {
		return usageError{err}
	}
	peer, err := netip.ParseAddr(f.peer)
	if err != nil {
		return usageError{fmt.Errorf("--peer %q is no IP address", f.peer)}
	}
	e, closeAll, err := dryEdge(ctx, c)
	if err != nil {
		return err
	}
	defer closeAll()
	if f.twice && !f.fetch {
		return usageError{fmt.Errorf("--twice shows what the first request stored, so it needs --fetch")}
	}
	rounds := 1
	if f.twice && f.fetch {
		rounds = 2
	}
	for i := range rounds {
		if i > 0 {
			fmt.Fprintln(out, "\nAnd once more:")
		}
		x, err := e.Explain(raw, netip.AddrPortFrom(peer, 50000), https, f.fetch)
		if err != nil {
			return fmt.Errorf("cannot explain the request: %w", err)
		}
		printJourney(out, x, f.fetch)
	}
	return nil
}

// request writes the bytes that a client would send.
func (f *explainFlags) request(rawURL string) ([]byte, bool, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, false, fmt.Errorf("%q is no URL; write it as https://shop.example/path", rawURL)
	}
	// The target goes as it was typed: explain must show what becomes of odd bytes.
	_, rest, _ := strings.Cut(rawURL, "://")
	target := "/"
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		target = rest[at:]
		if target[0] == '?' {
			target = "/" + target
		}
	}
	target, _, _ = strings.Cut(target, "#")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", f.method, target)
	hasHost := false
	for _, h := range f.headers {
		hasHost = hasHost || strings.HasPrefix(strings.ToLower(h), "host:")
		b.WriteString(h + "\r\n")
	}
	if !hasHost {
		fmt.Fprintf(&b, "Host: %s\r\n", u.Host)
	}
	b.WriteString("\r\n")
	return b.Bytes(), u.Scheme == "https", nil
}

// dryGeneration compiles a configuration without any service running.
func dryGeneration(c *configs.Config) (*origin.Pools, *proxy.Generation, error) {
	pools := origin.New(origin.Options{})
	set, err := pools.Build(c.Origins)
	if err != nil {
		return nil, nil, err
	}
	pools.Use(set)
	gen, err := buildGeneration(c, set, ratelimit.New(0, time.Now()), 1)
	return pools, gen, err
}

// dryEdge is an edge with a small empty cache of its own.
func dryEdge(ctx context.Context, c *configs.Config) (*proxy.Edge, func(), error) {
	pools, gen, err := dryGeneration(c)
	if err != nil {
		return nil, nil, err
	}
	tier, err := l1.New(64<<20, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot set up the cache: %w", err)
	}
	store := cache.New(cache.Config{Memory: cache.Memory{Size: 64 << 20}, MaxObject: min(c.Cache.MaxObject, conf.Size(16<<20))}, tier)
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pools.Run(run)
	}()
	e := proxy.New(proxy.Parts{Cache: store, Tunnels: tunnel.New(tunnel.Default()), Random: rand.Uint64, Log: slog.New(slog.DiscardHandler)})
	e.Use(gen)
	return e, func() {
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = store.Close(grace)
		stop()
		<-done
	}, nil
}

func printJourney(w io.Writer, x *proxy.Explained, fetched bool) {
	o := &x.Outcome
	meanings := map[proxy.Reason]string{}
	for _, e := range proxy.Explanations() {
		meanings[e.Reason] = e.Meaning
	}
	for _, s := range o.Steps() {
		text := meanings[s.Reason]
		if s.Note != "" {
			text = strings.TrimSpace("(" + s.Note + ") " + text)
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-9s %-18s %s", s.State, s.Reason, text), " "))
	}
	if x.Forward != nil {
		verb := "The origin " + o.Origin + " would be asked:"
		switch {
		case fetched && o.OriginStatus == 0:
			verb = "The origin " + o.Origin + " was asked and did not answer:"
		case fetched:
			verb = fmt.Sprintf("The origin %s was asked at %s and said %d:", o.Origin, o.TargetURL, o.OriginStatus)
		}
		fmt.Fprintf(w, "\n%s\n  %s %s HTTP/1.1\n  Host: %s\n", verb, x.Forward.Method, x.Forward.Target, x.Forward.Host)
		printFields(w, x.Forward.Fields)
	}
	if x.Forward != nil && !fetched {
		fmt.Fprintln(w, "\nAdd --fetch to ask it and see the answer judged.")
		return
	}
	fmt.Fprintf(w, "\nThe client gets:\n  %d %s\n", x.Status, proxy.StatusText(x.Status))
	printFields(w, x.Fields)
	if x.Body >= 0 && fetched {
		fmt.Fprintf(w, "  (%d bytes of content)\n", x.Body)
	}
	if o.Err != "" {
		fmt.Fprintf(w, "\n%s\n", o.Err)
	}
}

func printFields(w io.Writer, fields field.List) {
	for _, f := range fields {
		fmt.Fprintf(w, "  %s: %s\n", f.Name, f.Value)
	}
}
