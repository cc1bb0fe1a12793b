package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/listen"
)

// settingFlags are the flags that every command which loads a configuration has.
type settingFlags struct {
	file  string
	flags configs.Overrides
}

func (f *settingFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.file, "config", "c", os.Getenv("TZERO_CONFIG"), "configuration `FILE`; without one, --origin is enough")
	fs.StringVar(&f.flags.Origin, "origin", "", "`URL` of the app (TZERO_ORIGIN)")
	fs.StringVar(&f.flags.Listen, "listen", "", "`ADDRESS` for clients, :8080 by default (TZERO_LISTEN)")
	fs.StringVar(&f.flags.Admin, "admin", "", "`ADDRESS` for operators, 127.0.0.1:9180 by default (TZERO_ADMIN)")
	fs.StringVar(&f.flags.StateDir, "state-dir", "", "`DIRECTORY` for what outlives the process (TZERO_STATE_DIR)")
	fs.StringVar(&f.flags.Redis, "redis", "", "`URL` of the Redis that several gateways share (TZERO_REDIS)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	_ = cmd.MarkFlagDirname("state-dir")
}

// registerLocal registers what finds the gateway that runs on this machine.
func (f *settingFlags) registerLocal(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.file, "config", "c", os.Getenv("TZERO_CONFIG"), "configuration `FILE` of the gateway, which names its state directory")
	fs.StringVar(&f.flags.StateDir, "state-dir", "", "state `DIRECTORY` of the gateway, where its socket is (TZERO_STATE_DIR)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	_ = cmd.MarkFlagDirname("state-dir")
}

func (f *settingFlags) input() configs.Input {
	return configs.Input{Path: f.file, Flags: f.flags, Lookup: os.LookupEnv, Root: os.Geteuid() == 0}
}

func (f *settingFlags) load() (configs.Input, *configs.Loaded, error) {
	in := f.input()
	l, err := in.Load()
	return in, l, err
}

func runCommand() *cobra.Command {
	var f settingFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the gateway",
		Long:  "Run the gateway. SIGHUP loads the configuration again; SIGTERM drains and ends.",
		Example: "  tzero run --origin http://127.0.0.1:3000\n" +
			"  tzero run -c /etc/tzero/tzero.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, l, err := f.load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), in, l, cmd.ErrOrStderr(), announceRun)
		},
	}
	f.register(cmd)
	return cmd
}

// serve builds the services, says where they are, and runs them until ctx ends.
func serve(ctx context.Context, in configs.Input, l *configs.Loaded, stderr io.Writer, announce func(io.Writer, *services)) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	s, err := newServices(in, l, stderr)
	if err != nil {
		return err
	}
	for _, w := range l.Warnings {
		s.log.Warn("configuration", "warning", w.String())
	}
	announce(stderr, s)
	err = s.run(ctx, hup)
	if err == nil {
		s.log.Info("ended", "cut", s.listener.Stats().Cut)
	}
	return err
}

func announceRun(w io.Writer, s *services) {
	if s.file == "" {
		invite(w, s)
	}
	logServing(s)
}

// invite tells somebody who tries tzero on an app of his own where to look.
func invite(w io.Writer, s *services) {
	st := s.status()
	if len(st.Listeners) == 0 || len(st.Origins) == 0 || len(st.Origins[0].Targets) == 0 {
		return
	}
	base := st.Listeners[0].Protocol + "://" + browsable(st.Listeners[0].Address)
	fmt.Fprintf(w, `
tzero %[1]s stands in front of %[4]s.

  open    %[2]s/
  then    curl -so /dev/null -D- %[2]s/     twice: what Cache-Status says
          tzero explain --origin %[4]s --fetch --twice %[2]s/
  see     %[3]s                      the dashboard
  stop    Ctrl-C

`, buildVersion(), base, adminAddress(s), st.Origins[0].Targets[0].URL)
}

func logServing(s *services) {
	var at []string
	for _, l := range s.status().Listeners {
		at = append(at, l.Protocol+"://"+browsable(l.Address))
	}
	s.log.Info("serving", "version", buildVersion(), "at", strings.Join(at, " "), "admin", adminAddress(s), "pid", os.Getpid())
}

func adminAddress(s *services) string {
	for _, a := range s.admin.Addrs() {
		if a.Network() == "tcp" {
			return "http://" + a.String() + "/"
		}
	}
	return "none"
}

// browsable turns a bound address into one that can be opened.
func browsable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func checkCommand() *cobra.Command {
	var f settingFlags
	var quiet bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and show what it amounts to",
		Long: "Check a configuration. Every problem is shown with file, line and column. A good one is printed as it takes\n" +
			"effect: each setting with where it came from, secrets elided, and the routes in the order in which they are tried.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, l, err := f.load()
			if err != nil {
				return err
			}
			gen, err := checkFiles(l.Config)
			if err != nil {
				return err
			}
			for _, w := range l.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w.String())
			}
			if quiet {
				return nil
			}
			return printCheck(cmd.OutOrStdout(), l, gen)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print problems only")
	return cmd
}

// checkFiles builds what a start would build, so that certificates and keys are read as well.
func checkFiles(c *configs.Config) (*proxy.Generation, error) {
	_, gen, err := dryGeneration(c)
	if err != nil {
		return nil, err
	}
	return gen, listen.Check(listenSettings(c, gen))
}

func printCheck(out io.Writer, l *configs.Loaded, gen *proxy.Generation) error {
	if _, err := out.Write(l.Effective()); err != nil {
		return err
	}
	fmt.Fprintln(out, "\n# Routes, in the order in which they are tried:")
	for i, p := range gen.Table.Explain() {
		fmt.Fprintf(out, "# %3d  %-20s %-40s %s\n", i+1, p.Route.Name, p.String(), p.Does)
	}
	return nil
}

func reloadCommand() *cobra.Command {
	var f settingFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running gateway load its configuration again",
		Long:  "Have the running gateway on this machine load its configuration again, and say what became of it. SIGHUP does the same without an answer.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.stateDir()
			if err != nil {
				return err
			}
			return reload(cmd.Context(), dir, cmd.OutOrStdout())
		},
	}
	f.registerLocal(cmd)
	return cmd
}

// stateDir is where the running gateway keeps its socket. A file that is refused is what the operator wants
// to hear of; the gateway would refuse it too.
func (f *settingFlags) stateDir() (string, error) {
	in := f.input()
	if in.Path == "" && in.Flags.Origin == "" {
		in.Flags.Origin = "http://127.0.0.1" // only the directory matters
	}
	l, err := in.Load()
	if err != nil {
		return "", err
	}
	return l.Config.StateDir, nil
}
