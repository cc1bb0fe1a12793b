package malformed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options of a run.
type Options struct {
	House    bool          // judge by tzero's own stricter promises too
	Parallel int           // cases at a time; 0: 16
	Patience time.Duration // how long a client waits for an answer or for the end of the connection; 0: 2 s
}

// Client is what the sender of a case saw.
type Client struct {
	Statuses []int // final statuses in order; 0 stands for bytes that are no HTTP response
	Closed   bool  // the gateway ended the connection
	Reply    []byte
}

// Result is one case with both ends and the verdict.
type Result struct {
	Case   *Case
	Client Client
	Origin []Reading // one per connection that carried bytes of this case
	Faults []Fault
	Detail string // what the faults rest on
}

// Results of a whole table.
type Results struct {
	Gateway string
	All     []Result
	Strays  []Reading // origin connections with bytes of no known case
	Took    time.Duration
}

// Run sends every case to the gateway at addr, whose only target is origin, and judges what came of it.
func Run(ctx context.Context, name, addr string, origin *Origin, cases []*Case, opt Options) (*Results, error) {
	if opt.Parallel == 0 {
		opt.Parallel = 16
	}
	if opt.Patience == 0 {
		opt.Patience = 2 * time.Second
	}
	origin.take()
	start := time.Now()
	res := &Results{Gateway: name, All: make([]Result, len(cases))}
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(opt.Parallel)
	for i, c := range cases {
		group.Go(func() error {
			client, err := send(ctx2, addr, c, opt.Patience)
			res.All[i] = Result{Case: c, Client: client}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	settle, cancel := context.WithTimeout(ctx, idleLimit+2*time.Second)
	defer cancel()
	if err := origin.Settle(settle); err != nil {
		return nil, err
	}
	res.attribute(origin.take(), opt)
	res.Took = time.Since(start)
	return res, nil
}

// attribute gives every case its connections at the origin and judges it.
func (res *Results) attribute(byID map[string][]*Seen, opt Options) {
	for i := range res.All {
		r := &res.All[i]
		for _, s := range byID[r.Case.ID] {
			r.Origin = append(r.Origin, Read(s.Raw))
		}
		delete(byID, r.Case.ID)
		r.judge(opt)
	}
	for _, list := range byID {
		for _, s := range list {
			res.Strays = append(res.Strays, Read(s.Raw))
		}
	}
}

// send plays the client of one case: everything in one write, then read until the gateway ends the connection.
func send(ctx context.Context, addr string, c *Case, patience time.Duration) (Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return Client{}, fmt.Errorf("cannot connect to the gateway for %q: %w", c.Name, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	written := make(chan struct{})
	go func() { // ends with the connection, at its deadline at the latest
		defer close(written)
		conn.Write(append(bytes.Clone(c.Raw), c.Next()...))
		if c.HalfClose {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	reply, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	conn.Close()
	<-written
	return Client{
		Statuses: statuses(reply, c.Want.Method),
		Closed:   !errors.Is(err, os.ErrDeadlineExceeded),
		Reply:    reply,
	}, nil
}

// statuses reads the responses of a connection one behind the other. Only the case itself may be a HEAD.
func statuses(reply []byte, method string) []int {
	var out []int
	in := bufio.NewReader(bytes.NewReader(reply))
	for {
		if _, err := in.Peek(1); err != nil {
			return out
		}
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return append(out, 0)
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return append(out, resp.StatusCode)
		}
		if resp.StatusCode < 200 {
			continue
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		out = append(out, resp.StatusCode)
		method = http.MethodGet
	}
}
