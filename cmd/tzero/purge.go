package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/proxy/admin"
)

// purge does what an operator asks for, here and at all other gateways.
func (s *services) purge(ctx context.Context, r purge.Request) (admin.Purged, error) {
	began := time.Now()
	gen := s.edge.Generation()
	cells, err := r.Cells(gen.Keyed)
	if err != nil {
		return admin.Purged{}, err
	}
	var p admin.Purged
	if s.cluster != nil {
		p = s.cluster.purge(ctx, r.Kind(), cells)
	} else {
		p.Epoch = s.cache.Epochs().Next(r.Kind(), cells)
		p.Acknowledged = []admin.Node{{ID: "this gateway", Epoch: p.Epoch, Alive: true}}
	}
	p.Soft, p.Targets, p.TookMS = r.Soft, r.Targets(), float64(time.Since(began).Microseconds())/1000
	s.log.Info("purged", "epoch", p.Epoch, "kind", r.Kind().String(), "targets", p.Targets, "acknowledged", len(p.Acknowledged),
		"missing", len(p.Missing), "lost", len(p.Lost))
	return p, nil
}

// generationNumber is that of the configuration in force; 0 before there is one.
func (s *services) generationNumber() uint64 {
	if s.edge == nil || s.edge.Generation() == nil {
		return 0
	}
	return s.edge.Generation().Number
}

func purgeCommand() *cobra.Command {
	var f settingFlags
	var r purge.Request
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Have stored pages fetched again",
		Long: "Have stored pages fetched again, by the running gateway on this machine and all that share its Redis: by tag (Surrogate-Key,\n" +
			"Cache-Tag, Cache-Groups), by address, by prefix, or all of them. With --soft they are used until the new ones are here. It waits\n" +
			"until every gateway has acknowledged, and fails when one has not.",
		Example: "  tzero purge --tag news --tag front-page\n" +
			"  tzero purge --soft --prefix https://example.org/blog\n" +
			"  tzero purge --all          after a deploy",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.stateDir()
			if err != nil {
				return err
			}
			return runPurge(cmd.Context(), dir, r, asJSON, cmd.OutOrStdout())
		},
	}
	f.registerLocal(cmd)
	fs := cmd.Flags()
	fs.StringArrayVar(&r.Tags, "tag", nil, "purge what has this `TAG`")
	fs.StringArrayVar(&r.URLs, "url", nil, "purge the page with this `URL`, in all its variants")
	fs.StringArrayVar(&r.Prefixes, "prefix", nil, "purge everything under this `URL`")
	fs.BoolVar(&r.All, "all", false, "purge everything")
	fs.BoolVar(&r.Soft, "soft", false, "go on with what is stored until it is renewed")
	fs.BoolVar(&asJSON, "json", false, "print the gateway's answer as JSON")
	return cmd
}

// runPurge asks the running gateway and prints who has purged.
func runPurge(ctx context.Context, stateDir string, r purge.Request, asJSON bool, out io.Writer) error {
	asked, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot write the purge: %w", err)
	}
	raw, err := admin.Dial(stateDir).Purge(ctx, asked)
	if err != nil {
		return err
	}
	var p admin.Purged
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("cannot read the gateway's answer: %w", err)
	}
	if asJSON {
		_, err = out.Write(raw)
	} else {
		printPurged(out, &p)
	}
	if err == nil && !p.Everywhere() {
		return errors.New("not every gateway has acknowledged the purge")
	}
	return err
}

func printPurged(out io.Writer, p *admin.Purged) {
	targets := "targets"
	if p.Targets == 1 {
		targets = "target"
	}
	fmt.Fprintf(out, "purge %d, %d %s, %.1f ms\n", p.Epoch, p.Targets, targets, p.TookMS)
	for _, list := range []struct {
		what  string
		nodes []admin.Node
	}{{"acknowledged", p.Acknowledged}, {"missing", p.Missing}, {"not heard of", p.Lost}} {
		for _, n := range list.nodes {
			line := fmt.Sprintf("  %-12s  %s", list.what, strings.TrimSpace(n.Host+" "+n.ID))
			if list.what == "not heard of" {
				line += fmt.Sprintf(" for %.0f s", n.SeenS)
			}
			fmt.Fprintln(out, line)
		}
	}
	if p.Warning != "" {
		fmt.Fprintln(out, "warning: "+p.Warning)
	}
}
