package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
)

const maxAnswer = 16 << 20

// Client asks a running gateway through its unix socket.
type Client struct {
	path string
	http *http.Client
}

// Dial returns a client for the gateway with this state directory. It connects at the first call.
func Dial(stateDir string) *Client {
	path := SocketPath(stateDir)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// Reload has the configuration loaded again and returns what the gateway tells as JSON. When the file
// was refused, the error is the gateway's own text.
func (c *Client) Reload(ctx context.Context) (json.RawMessage, error) {
	return c.call(ctx, http.MethodPost, "/reload", nil)
}

// Purge has stored pages purged; r is the request as JSON.
func (c *Client) Purge(ctx context.Context, r []byte) (json.RawMessage, error) {
	return c.call(ctx, http.MethodPost, "/purge", r)
}

// Rule has the gateway deny or allow addresses, r in JSON, and returns what it tells.
func (c *Client) Rule(ctx context.Context, r []byte) (json.RawMessage, error) {
	return c.call(ctx, http.MethodPost, "/limits", r)
}

// Rulings returns what is ruled.
func (c *Client) Rulings(ctx context.Context) (json.RawMessage, error) {
	return c.call(ctx, http.MethodGet, "/limits", nil)
}

// Status returns what /status shows.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	return c.call(ctx, http.MethodGet, "/status", nil)
}

// Metrics returns what /metrics shows, in the text format.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	return c.call(ctx, http.MethodGet, "/metrics", nil)
}

// Ready returns nil when the gateway is ready, otherwise an error that says why not.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodGet, "/readyz", nil)
	return err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://tzero"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot ask tzero for %s: %w", path, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("cannot read tzero's answer to %s: %w", path, err)
	}
	if res.StatusCode/100 != 2 {
		return nil, refusal(res.StatusCode, body)
	}
	return body, nil
}

func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("cannot reach tzero at %s: is it running with this state directory?", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot reach tzero at %s: permission denied; use the account that tzero runs as", c.path)
	}
	return fmt.Errorf("cannot reach tzero at %s: %w", c.path, err)
}

func refusal(status int, body []byte) error {
	var f Failure
	if json.Unmarshal(body, &f) == nil && f.Error != "" {
		return errors.New(f.Error)
	}
	if text := strings.TrimSpace(string(bytes.ToValidUTF8(body, nil))); text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("tzero answered %d %s", status, http.StatusText(status))
}
