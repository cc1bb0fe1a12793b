package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/proxy/admin"
)

// reload asks the running gateway and prints what became of it.
func reload(ctx context.Context, stateDir string, out io.Writer) error {
	raw, err := admin.Dial(stateDir).Reload(ctx)
	if err != nil {
		return err
	}
	var r configs.Result
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("cannot read the gateway's answer: %w", err)
	}
	fmt.Fprintf(out, "generation %d is in force (%s)\n", r.Generation, r.Hash)
	for _, p := range r.NeedsRestart {
		fmt.Fprintf(out, "needs a restart: %s\n", p)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(out, "warning: %s\n", w)
	}
	return nil
}
