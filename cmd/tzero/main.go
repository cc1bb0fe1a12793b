// Command tzero is the edge gateway for launch day.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// SIGPIPE must not end the process when a log's reader goes away; writes report EPIPE instead.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// From the first signal on, the second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tzero: "+err.Error())
		os.Exit(exitCode(err))
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tzero",
		Short: "The edge gateway for launch day",
		Long: "tzero stands in front of your app on the day the world comes to look: it answers from memory what may be\n" +
			"answered from memory, lets one request per object through, and refuses what is ambiguous.\n\n" +
			"Begin with `tzero demo`, or put it in front of your own app: tzero run --origin http://127.0.0.1:3000",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.Version = buildVersion()
	root.SetVersionTemplate("tzero {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(), demoCommand(), checkCommand(), explainCommand(), reloadCommand(), purgeCommand(), limitCommand(), versionCommand())
	return root
}

// usageError is a mistake in the command line: exit code 2, as for Go's own tools.
type usageError struct{ error }

func exitCode(err error) int {
	if errors.As(err, new(usageError)) || strings.HasPrefix(err.Error(), "unknown command") {
		return 2
	}
	return 1
}
