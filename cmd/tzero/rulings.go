package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy/admin"
	"github.com/tzero-edge/tzero/ratelimit"
)

// What an operator has ruled about addresses outlives a restart in the state directory, and reaches other gateways through
// Redis.

const (
	rulingsFile = "rulings.json"
	mostRulings = 8 << 20 // bytes
)

// loadRulings reads what was ruled before the start. A file that cannot be read is no reason not to start: it is said.
func (s *services) loadRulings(stateDir string) {
	file, err := os.Open(filepath.Join(stateDir, rulingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var all []ratelimit.Ruling
	if err == nil {
		err = json.NewDecoder(io.LimitReader(file, mostRulings)).Decode(&all)
		file.Close()
	}
	if err != nil {
		s.log.Warn("cannot read what was ruled about addresses before the start: it holds no more; see tzero limit list", "error", err)
		return
	}
	s.limiter.Learn(all, false, time.Now())
}

// saveRulings writes them, whole or not at all.
func (s *services) saveRulings(stateDir string) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	b, err := json.Marshal(s.limiter.Rulings(true, time.Now()))
	if err != nil {
		return fmt.Errorf("cannot write what is ruled about addresses: %w", err)
	}
	name := filepath.Join(stateDir, rulingsFile)
	if err = os.WriteFile(name+".new", b, 0o600); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("cannot keep what is ruled about addresses over a restart: %w", err)
	}
	return nil
}

// learned keeps what other gateways were told.
func (s *services) learned(stateDir string) func() {
	return func() {
		if err := s.saveRulings(stateDir); err != nil {
			s.log.Warn("cannot save what another gateway was told about addresses", "error", err)
		}
	}
}

// rule does what an operator orders, here at once and at the others within about a second.
func (s *services) rule(ctx context.Context, stateDir string, order []byte) (admin.Ruled, error) {
	o, err := ratelimit.ReadOrder(order)
	if err == nil {
		err = s.limiter.Rule(o, time.Now())
	}
	if err != nil {
		return admin.Ruled{}, err
	}
	s.log.Info("ruled about addresses", "deny", o.Deny, "allow", o.Allow, "lift", o.Lift, "for", o.For.String(), "why", o.Why)
	var warnings []string
	if err := s.saveRulings(stateDir); err != nil {
		warnings = append(warnings, err.Error())
	}
	if s.cluster != nil {
		if err := s.cluster.rulings.Exchange(ctx); err != nil {
			warnings = append(warnings, err.Error()+"; they hear of it when Redis answers again")
		}
	}
	r := s.rulings()
	r.Warning = strings.Join(warnings, "; ")
	return r, nil
}

// rulings are those in force.
func (s *services) rulings() admin.Ruled {
	r := admin.Ruled{Rulings: []admin.Ruling{}}
	for _, n := range s.limiter.Rulings(false, time.Now()) {
		r.Rulings = append(r.Rulings, admin.Ruling{Prefix: n.Prefix.String(), Verb: string(n.Verb), Until: n.Until.UTC(), Why: n.Why})
	}
	return r
}

// expiring forgets rulings that have ended, where nobody else does.
func (s *services) expiring(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.limiter.Expire(now)
		}
	}
}

func limitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limit",
		Short: "Deny or allow addresses while the gateway runs",
		Long: "Deny or allow addresses while the gateway runs, for a time, at all gateways that share its Redis. What is ruled outweighs\n" +
			"rate_limits.deny and rate_limits.allow, and outlives a restart; of two prefixes the longer one holds.",
		Example: "  tzero limit deny 192.0.2.7 198.51.100.0/24 --for 2h --why \"scrapes the prices\"\n" +
			"  tzero limit allow 203.0.113.0/24 --for 1d --why \"the conference\"\n" +
			"  tzero limit lift 192.0.2.7\n" +
			"  tzero limit list",
	}
	for _, c := range []struct {
		verb, short string
		fill        func(o *ratelimit.Order, prefixes []string)
	}{
		{"deny", "Answer addresses or prefixes with 403", func(o *ratelimit.Order, p []string) { o.Deny = p }},
		{"allow", "Let nothing limit or deny addresses or prefixes", func(o *ratelimit.Order, p []string) { o.Allow = p }},
		{"lift", "End what was ruled about addresses or prefixes", func(o *ratelimit.Order, p []string) { o.Lift = p }},
	} {
		cmd.AddCommand(rulingCommand(c.verb, c.short, c.fill))
	}
	var f settingFlags
	list := &cobra.Command{
		Use: "list", Short: "Show what is ruled", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.stateDir()
			if err != nil {
				return err
			}
			raw, err := admin.Dial(dir).Rulings(cmd.Context())
			return printRuled(cmd.OutOrStdout(), raw, err)
		},
	}
	f.registerLocal(list)
	cmd.AddCommand(list)
	return cmd
}

func rulingCommand(verb, short string, fill func(*ratelimit.Order, []string)) *cobra.Command {
	var f settingFlags
	var o ratelimit.Order
	var long string
	cmd := &cobra.Command{
		Use: verb + " PREFIX...", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.For.UnmarshalText([]byte(long)); err != nil {
				return usageError{fmt.Errorf("--for: %w", err)}
			}
			dir, err := f.stateDir()
			if err != nil {
				return err
			}
			fill(&o, args)
			asked, err := json.Marshal(o)
			if err != nil {
				return fmt.Errorf("cannot write the order: %w", err)
			}
			raw, err := admin.Dial(dir).Rule(cmd.Context(), asked)
			return printRuled(cmd.OutOrStdout(), raw, err)
		},
	}
	f.registerLocal(cmd)
	if verb != "lift" {
		cmd.Flags().StringVar(&long, "for", conf.Duration(time.Hour).String(), "how `LONG` it holds, at most 31 days")
		cmd.Flags().StringVar(&o.Why, "why", "", "the `REASON`, for whoever lists it")
	} else {
		long = "0s"
	}
	return cmd
}

func printRuled(out io.Writer, raw []byte, err error) error {
	var r admin.Ruled
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("cannot read the gateway's answer: %w", err)
	}
	if len(r.Rulings) == 0 {
		fmt.Fprintln(out, "nothing is ruled")
	}
	for _, n := range r.Rulings {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%-5s  %-24s  until %s  %s", n.Verb, n.Prefix, n.Until.Format(time.RFC3339), n.Why), " "))
	}
	if r.Warning != "" {
		return errors.New(r.Warning)
	}
	return nil
}
