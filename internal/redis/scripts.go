package redis

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Call is the call of a script.
type Call struct {
	Script *redis.Script
	Keys   []string
	Args   []any
}

// RunAll makes calls in one exchange, and returns what each came to. Those whose keys lie on one master are made in order,
// unless Redis did not know a script yet: these are made once more, after all others.
func RunAll(ctx context.Context, c redis.UniversalClient, calls []Call) []*redis.Cmd {
	if len(calls) == 0 {
		return nil
	}
	cmds := make([]*redis.Cmd, len(calls))
	_, _ = c.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, call := range calls {
			cmds[i] = call.Script.EvalSha(ctx, p, call.Keys, call.Args...)
		}
		return nil
	})
	var unknown []int
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return cmds
	}
	_, _ = c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, i := range unknown {
			cmds[i] = calls[i].Script.Eval(ctx, p, calls[i].Keys, calls[i].Args...)
		}
		return nil
	})
	return cmds
}
