package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tzero-edge/tzero/cmd/tzero/demo"
	"github.com/tzero-edge/tzero/internal/conf"
)

func demoCommand() *cobra.Command {
	var f settingFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the gateway in front of a built-in launch page",
		Long:  "Run the gateway in front of a built-in demo origin: a launch page with everything that a gateway has to deal with.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), &f, cmd.ErrOrStderr())
		},
	}
	f.register(cmd)
	return cmd
}

func runDemo(ctx context.Context, f *settingFlags, stderr io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot start the demo origin: %w", err)
	}
	if f.flags.Origin == "" {
		f.flags.Origin = "http://" + ln.Addr().String()
	}
	if f.flags.StateDir == "" && os.Getenv("TZERO_STATE_DIR") == "" {
		dir, err := os.MkdirTemp("", "tzero-demo-")
		if err != nil {
			return fmt.Errorf("cannot make a state directory for the demo: %w", err)
		}
		defer os.RemoveAll(dir)
		f.flags.StateDir = dir
	}
	in, l, err := f.load()
	if err == nil && f.file == "" {
		l.Config.Shutdown.Grace = conf.Duration(2 * time.Second) // its event streams never end by themselves
	}
	if err != nil {
		return err
	}
	// The origin outlives the gateway, so that draining requests find it.
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return demo.Serve(base, ln) })
	err = serve(ctx, in, l, stderr, announceDemo)
	stop()
	if e := group.Wait(); err == nil {
		err = e
	}
	return err
}

func announceDemo(w io.Writer, s *services) {
	base := ""
	for _, l := range s.status().Listeners {
		base = l.Protocol + "://" + browsable(l.Address)
	}
	fmt.Fprintf(w, `
tzero %[1]s stands in front of the demo app.

  open    %[2]s/
  then    curl -so /dev/null -D- %[2]s/     twice: Cache-Status says fwd=uri-miss, then hit
          curl -sN %[2]s/events             events as they come
          curl -s '%[2]s/api/slow?ms=800'   an API that takes its time and is never stored
  see     %[3]s                      the dashboard
          %[3]smetrics               what Prometheus reads
  stop    Ctrl-C

`, buildVersion(), base, adminAddress(s))
	logServing(s)
}
