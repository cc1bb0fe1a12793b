package configs

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tzero-edge/tzero/configs/strict"
)

var update = flag.Bool("update", false, "rewrite the generated files and the expected messages")

// environment is a look-up over pairs.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, in Input) *Loaded {
	t.Helper()
	l, err := in.Load()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return l
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, fault := range strict.Check(reflect.TypeFor[Config]()) {
		t.Error(fault)
	}
}

func TestDefaultIsValidButForAnOrigin(t *testing.T) {
	_, err := Input{}.Load()
	want := "origins: there is no origin and no route, so nothing could be served; " +
		"run with --origin http://127.0.0.1:3000, or name the app under origins"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestExample(t *testing.T) {
	l := load(t, Input{Path: "tzero.example.yaml"})
	if len(l.Warnings) > 0 {
		t.Errorf("the example has doubts: %v", l.Warnings)
	}
	if len(l.Config.Routes) < 8 || len(l.Config.Origins) < 3 {
		t.Errorf("%d routes, %d origins", len(l.Config.Routes), len(l.Config.Origins))
	}
	again := load(t, Input{Path: write(t, string(Effective(l.Config)))})
	if Hash(again.Config) != Hash(l.Config) {
		t.Errorf("what check prints is another configuration:\n%s\n%s", l.Effective(), again.Effective())
	}
}

func TestOriginAloneIsEnough(t *testing.T) {
	l := load(t, Input{Flags: Overrides{Origin: "localhost:3000"}, Lookup: environment("HOME", "/home/a")})
	c := l.Config
	if c.Origins["app"].Targets[0] != "http://localhost:3000" || len(c.Routes) != 1 || c.Routes[0].Origin != "app" {
		t.Errorf("%+v", c)
	}
	if c.Listeners[0].Address != ":8080" || c.Admin.Address != "127.0.0.1:9180" || c.StateDir != "/home/a/.local/state/tzero" {
		t.Errorf("%+v", c)
	}
}

func TestShortOrigins(t *testing.T) {
	short := func(given, want string) {
		t.Helper()
		l := load(t, Input{Flags: Overrides{Origin: given}})
		if got := l.Config.Origins["app"].Targets[0]; got != want {
			t.Errorf("--origin %s is %s, expected %s", given, got, want)
		}
	}
	short("localhost:3000", "http://localhost:3000")
	short(":3000", "http://localhost:3000")
	short("https://a.example", "https://a.example")
}

func TestOverrides(t *testing.T) {
	file := write(t, "listeners: [{address: ':1'}]\nadmin: {address: ':2'}\nstate_dir: /file\n"+
		"origins: {shop: {targets: ['http://a', 'http://b'], balance: least_connections}}\n")
	l := load(t, Input{Path: file, Flags: Overrides{Listen: ":11", Origin: "http://c:1"},
		Lookup: environment("TZERO_ORIGIN", "http://never", "TZERO_ADMIN", "127.0.0.1:12", "TZERO_STATE_DIR", "/env", "TZERO_REDIS", "redis://:hunter2@r")})
	shop := l.Config.Origins["shop"]
	if l.Config.Listeners[0].Address != ":11" || !reflect.DeepEqual(shop.Targets, []string{"http://c:1"}) || shop.Balance != "least_connections" {
		t.Errorf("%+v", l.Config)
	}
	if l.Config.Admin.Address != "127.0.0.1:12" || l.Config.StateDir != "/env" {
		t.Errorf("%+v", l.Config)
	}
	effective := string(l.Effective())
	for _, want := range []string{`address: ":11"  # flag --listen`, `address: 127.0.0.1:12  # environment TZERO_ADMIN`,
		`state_dir: /env  # environment TZERO_STATE_DIR`, `balance: least_connections  # t.yaml:4`, `url: (secret)  # environment TZERO_REDIS`,
		`grace: 30s  # default`} {
		if !strings.Contains(effective, want) {
			t.Errorf("no %q in\n%s", want, effective)
		}
	}
	if strings.Contains(effective, "hunter2") {
		t.Error("a password shows")
	}
	if len(l.Warnings) != 0 {
		t.Errorf("%v", l.Warnings)
	}
}

func refused(t *testing.T, in Input, want ...string) {
	t.Helper()
	_, err := in.Load()
	if err == nil {
		t.Fatalf("%+v was taken", in)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v\nlacks %q", err, w)
		}
	}
}

func TestOverridesAreBlamed(t *testing.T) {
	refused(t, Input{Flags: Overrides{Origin: "http://a/path"}}, "flag --origin: origins.app.targets[0]: ")
	refused(t, Input{Flags: Overrides{Origin: "http://a", Listen: "8080"}}, `flag --listen: listeners[0].address: "8080" is not an address`)
	refused(t, Input{Lookup: environment("TZERO_ORIGIN", "ftp://a")}, "environment TZERO_ORIGIN: origins.app.targets[0]: ")
	refused(t, Input{Flags: Overrides{Origin: "http://a", Redis: "hunter2"}}, "flag --redis: redis.url: is not an address of Redis")
	several := write(t, "origins: {a: {targets: ['http://a']}, b: {targets: ['http://b']}}\nroutes: [{origin: a}]\n")
	refused(t, Input{Path: several, Flags: Overrides{Origin: "http://c"}}, "origins: flag --origin gives one address, but the file has 2 origins (a, b)")
	refused(t, Input{Path: write(t, "listeners: [{}, {address: ':2'}]"), Flags: Overrides{Origin: "http://c", Listen: ":1"}},
		"listeners: flag --listen gives one address, but the file has 2 listeners")
}

func TestStateDir(t *testing.T) {
	stateDir := func(want string, root bool, env ...string) {
		t.Helper()
		l := load(t, Input{Flags: Overrides{Origin: "http://a"}, Lookup: environment(env...), Root: root})
		if l.Config.StateDir != want {
			t.Errorf("%s, expected %s", l.Config.StateDir, want)
		}
	}
	stateDir("/run/a", true, "STATE_DIRECTORY", "/run/a:/run/b", "HOME", "/root")
	stateDir("/var/lib/tzero", true, "HOME", "/root")
	stateDir("/var/lib/tzero", false)
	stateDir("/x/tzero", false, "HOME", "/h", "XDG_STATE_HOME", "/x")
}

func TestUnusedOriginIsAWarning(t *testing.T) {
	file := write(t, "origins:\n  a: {targets: ['http://a']}\n  b: {targets: ['http://b']}\nroutes: [{origin: a}]\n")
	l := load(t, Input{Path: file})
	if len(l.Warnings) != 1 || l.Warnings[0].String() != file+":3:3: origins.b: no route uses this origin" {
		t.Errorf("%v", l.Warnings)
	}
}

// What is accepted and does less than it says is told.
func TestSettingsWithoutEffectAreWarnings(t *testing.T) {
	file := write(t, "origins: {a: {targets: ['http://a']}}\ncache: {pinned: 10%}\nroutes: [{origin: a, cache: {max_object: 1GiB}}]\n")
	var got []string
	for _, w := range load(t, Input{Path: file}).Warnings {
		got = append(got, w.String())
	}
	want := []string{
		file + ":2:17: cache.pinned: this version plans no objects; what is kept for them is lost to the others",
		file + ":3:42: routes[0].cache.max_object: is greater than cache.max_object (8MiB), which holds all the same",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A fault in a list is told where its item stands.
func TestFaultsOfItemsAreTheirs(t *testing.T) {
	for cache, want := range map[string]string{
		"private_cookies: [a, '*']":                       `:2:51: routes[0].cache.private_cookies[1]: no cookie has the name "*"`,
		"store_statuses: [400, 200]":                      ":2:52: routes[0].cache.store_statuses[1]: must be one of 400, 408, 413, 414, 417, 505",
		"targeted: [CDN-Cache-Control,CDN-Cache-Control]": ":2:59: routes[0].cache.targeted[1]: CDN-Cache-Control stands there twice",
		"html_max: 99999d":                                `:2:40: routes[0].cache.html_max: "99999d" is too long; at most 65535d`,
		"override: all":                                   ":2:40: routes[0].cache.override: has no effect without mode: ttl",
	} {
		refused(t, Input{Path: write(t, "origins: {a: {targets: ['http://a']}}\nroutes: [{origin: a, cache: {"+cache+"}}]")}, want)
	}
}

// A list of names belongs to a mode: the default names are those of the mode deny.
func TestAllowNeedsItsOwnNames(t *testing.T) {
	refused(t, Input{Path: write(t, "origins: {a: {targets: ['http://a']}}\nroutes: [{origin: a, cache: {query: {mode: allow}}}]")},
		"routes[0].cache.query.names: must name a parameter in mode allow")
}

func TestSecretsFromFiles(t *testing.T) {
	secret := write(t, "0123456789abcdef\n")
	l := load(t, Input{Path: write(t, "admin: {token: '${file:"+secret+"}'}"), Flags: Overrides{Origin: "http://a"}})
	if l.Config.Admin.Token.Reveal() != "0123456789abcdef" || bytes.Contains(l.Effective(), []byte("0123")) {
		t.Errorf("%s", l.Effective())
	}
	refused(t, Input{Path: write(t, "admin: {token: '${file:/no/such}'}"), Flags: Overrides{Origin: "http://a"}},
		":1:16: admin.token: cannot read the secret's file: open /no/such: no such file or directory")
}

// Whatever stands at the path, reading ends, and at once.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, Input{Path: path("fifo")}, path("fifo")+": cannot read the file: it is not a regular file")
	refused(t, Input{Path: dir}, dir+": cannot read the file: it is a directory")
	refused(t, Input{Path: path("none")}, path("none")+": cannot read the file: no such file or directory")
	refused(t, Input{Path: "/dev/zero"}, "/dev/zero: cannot read the file: it is not a regular file")
	huge, err := os.Create(path("huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	if err := huge.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	refused(t, Input{Path: path("huge")}, "cannot read the file: it is larger than 1024 KiB")
}

func TestHashIsStable(t *testing.T) {
	a := load(t, Input{Path: write(t, "origins: {b: {targets: ['http://b']}, a: {targets: ['http://a']}}\nroutes: [{origin: a}, {origin: b, match: {path: /b}}]")})
	b := load(t, Input{Path: write(t, "# other words\nroutes:\n- origin: a\n- match: {path: '/b'}\n  origin: ${X:-b}\norigins: {a: {targets: [http://a]}, b: {targets: [http://b]}}")})
	if Hash(a.Config) != Hash(b.Config) || len(Hash(a.Config)) != 16 {
		t.Errorf("%s, %s", Hash(a.Config), Hash(b.Config))
	}
	c := load(t, Input{Flags: Overrides{Origin: "http://a"}})
	if Hash(c.Config) == Hash(a.Config) {
		t.Error("two configurations, one hash")
	}
}
