package configs

import (
	"path/filepath"
	"strings"

	"github.com/tzero-edge/tzero/configs/strict"
)

// Input is everything that a configuration is made of. Flags win over the environment, which wins over
// the file, which wins over the defaults.
type Input struct {
	Path   string                           // the file; "" means none
	Flags  Overrides                        // as given on the command line
	Lookup func(name string) (string, bool) // the environment
	Root   bool                             // the process runs as root
}

// Loaded is a valid configuration with what is known about it.
type Loaded struct {
	Config   *Config
	Warnings []strict.Problem
	Sources  *strict.Sources
}

// Load reads, completes and checks a configuration. The error is a *[strict.Error] with every problem.
func (in Input) Load() (*Loaded, error) {
	if in.Lookup == nil {
		in.Lookup = func(string) (string, bool) { return "", false }
	}
	c := Default()
	sources, decoding := in.decode(&c)
	found := in.override(&c, sources)
	c.forgetNames(sources)
	c.imply()
	in.completeStateDir(&c, sources)

	found = append(found, c.parts()...)
	found = append(found, c.routing()...)
	if len(decoding) == 0 {
		found = append(found, c.across()...)
	}
	problems := append(decoding, sources.PlaceAll(found, decoding)...)
	strict.Sort(problems)
	if err := strict.Refuse(problems); err != nil {
		return nil, err
	}
	l := &Loaded{Config: &c, Sources: sources, Warnings: sources.PlaceAll(c.doubts(), nil)}
	strict.Sort(l.Warnings)
	return l, nil
}

// decode reads the file, if there is one, over the defaults in c.
func (in Input) decode(c *Config) (*strict.Sources, []strict.Problem) {
	if in.Path == "" {
		return strict.NoFile(), nil
	}
	o := options()
	o.File, o.Lookup, o.ReadFile = in.Path, in.Lookup, readSecret
	data, err := readConfig(in.Path)
	if err != nil {
		return strict.NoFile(), []strict.Problem{{Source: strict.Source{File: in.Path}, Reason: err.Error()}}
	}
	return strict.Decode(data, c, o)
}

// completeStateDir chooses a directory where none is given.
func (in Input) completeStateDir(c *Config, sources *strict.Sources) {
	if c.StateDir != "" {
		return
	}
	// systemd separates several directories by colons.
	if dirs, ok := in.Lookup("STATE_DIRECTORY"); ok && dirs != "" {
		c.StateDir, _, _ = strings.Cut(dirs, ":")
		sources.Set("state_dir", strict.Source{Label: "environment STATE_DIRECTORY"})
		return
	}
	home, _ := in.Lookup("HOME")
	if in.Root || home == "" {
		c.StateDir = "/var/lib/tzero"
		return
	}
	base, ok := in.Lookup("XDG_STATE_HOME")
	if !ok || base == "" {
		base = filepath.Join(home, ".local", "state")
	}
	c.StateDir = filepath.Join(base, "tzero")
}

// Effective writes the configuration that results, as YAML: every key with its value and, as a comment,
// where the value came from. Secrets are elided.
func (l *Loaded) Effective() []byte { return strict.Render(l.Config, l.Sources) }

// Effective writes a configuration as YAML, secrets elided.
func Effective(c *Config) []byte { return strict.Render(c, nil) }
