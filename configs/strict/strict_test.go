package strict

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/conf"
)

type site struct {
	Name    string            `yaml:"name" doc:"The site's name."`
	Listen  string            `yaml:"listen" doc:"Where it listens." restart:"true"`
	Mode    string            `yaml:"mode" enum:"fast|slow|careful" doc:"How it works."`
	Debug   bool              `yaml:"debug" doc:"Whether it talks."`
	Workers int               `yaml:"workers" doc:"How many."`
	Small   uint8             `yaml:"small" doc:"A small number."`
	Ratio   float64           `yaml:"ratio" doc:"A share."`
	Wait    conf.Duration     `yaml:"wait" doc:"How long."`
	Max     conf.Size         `yaml:"max" doc:"How much."`
	Token   conf.Secret       `yaml:"token" doc:"The password."`
	Trusted []netip.Prefix    `yaml:"trusted" doc:"Whom to believe."`
	Hosts   []string          `yaml:"hosts,oneormany" doc:"Names."`
	Words   []string          `yaml:"words" enum:"red|green" doc:"Colours."`
	Set     map[string]string `yaml:"set" doc:"Fields to set."`
	Rooms   map[string]room   `yaml:"rooms" doc:"Rooms by name."`
	Doors   []door            `yaml:"doors" doc:"Doors, in order."`
	Cellar  *room             `yaml:"cellar" restart:"size" doc:"The cellar, if any."`
	common  `yaml:",inline"`
}

type common struct {
	Note string `yaml:"note" doc:"A note."`
}

type room struct {
	Size  int  `yaml:"size" doc:"Square metres."`
	Light bool `yaml:"light" doc:"Whether it is lit."`
}

type door struct {
	To     string        `yaml:"to" doc:"The room behind."`
	Width  int           `yaml:"width" doc:"Centimetres."`
	Closer conf.Duration `yaml:"closer" doc:"Until it shuts." restart:"true"`
}

func options() Options {
	env := map[string]string{"NAME": "env name", "N": "7", "EMPTY": "", "PASSWORD": "hunter2hunter2", "FLAG": "true"}
	return Options{
		File:     "t.yaml",
		Lookup:   func(n string) (string, bool) { v, ok := env[n]; return v, ok },
		ReadFile: func(string) ([]byte, error) { return []byte("from file\n"), nil },
		Items:    Items(func() room { return room{Size: 20, Light: true} }, func() door { return door{Width: 90} }),
	}
}

func decode(t *testing.T, text string) (site, *Sources, []Problem) {
	t.Helper()
	s := site{Mode: "slow", Workers: 2}
	sources, problems := Decode([]byte(text), &s, options())
	return s, sources, problems
}

func good(t *testing.T, text string, want func(*site)) {
	t.Helper()
	got, _, problems := decode(t, text)
	if len(problems) > 0 {
		t.Fatalf("%q refused: %v", text, problems)
	}
	expected := site{Mode: "slow", Workers: 2}
	want(&expected)
	if !reflect.DeepEqual(got, expected) {
		t.Fatalf("%q gave\n%+v, expected\n%+v", text, got, expected)
	}
}

func TestValues(t *testing.T) {
	good(t, "", func(*site) {})
	good(t, "# nothing\n", func(*site) {})
	good(t, "\ufeffname: a\n", func(s *site) { s.Name = "a" })
	good(t, "name: 007\nnote: yes\n", func(s *site) { s.Name, s.Note = "007", "yes" })
	good(t, "debug: true\nworkers: -3\nsmall: 255\nratio: 0.25", func(s *site) {
		s.Debug, s.Workers, s.Small, s.Ratio = true, -3, 255, 0.25
	})
	good(t, "wait: 1h30m\nmax: 8MiB", func(s *site) { s.Wait, s.Max = conf.Duration(5400e9), 8<<20 })
	good(t, "trusted: [10.0.0.0/8]", func(s *site) { s.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	good(t, "hosts: a", func(s *site) { s.Hosts = []string{"a"} })
	good(t, "hosts: [a, b]", func(s *site) { s.Hosts = []string{"a", "b"} })
	good(t, "words: [red]\nmode: careful", func(s *site) { s.Words, s.Mode = []string{"red"}, "careful" })
	good(t, "set: {a.b: 1, c: d}", func(s *site) { s.Set = map[string]string{"a.b": "1", "c": "d"} })
	good(t, "rooms: {hall: {size: 5}, attic: {}}", func(s *site) {
		s.Rooms = map[string]room{"hall": {5, true}, "attic": {20, true}}
	})
	good(t, "doors: [{to: hall}]\ncellar: {light: false}", func(s *site) {
		s.Doors, s.Cellar = []door{{To: "hall", Width: 90}}, &room{20, false}
	})
}

func TestReferences(t *testing.T) {
	good(t, "name: ${NAME}!", func(s *site) { s.Name = "env name!" })
	good(t, "name: '$${NAME} $5 ${EMPTY}'", func(s *site) { s.Name = "${NAME} $5 " })
	good(t, "name: ${NONE:-fallback}${EMPTY:-b}", func(s *site) { s.Name = "fallbackb" })
	good(t, "workers: ${N}\ndebug: \"${FLAG}\"", func(s *site) { s.Workers, s.Debug = 7, true })
	good(t, "token: ${file:/run/secrets/x}", func(s *site) { s.Token = conf.NewSecret("from file") })
}

func bad(t *testing.T, text string, want ...string) {
	t.Helper()
	_, _, problems := decode(t, text)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q gave\n\t%s\nexpected\n\t%s", text, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestRefusals(t *testing.T) {
	bad(t, "nmae: a\nworkrs: 3", `t.yaml:1:1: unknown key "nmae"; did you mean "name"?`,
		`t.yaml:2:1: unknown key "workrs"; did you mean "workers"?`)
	bad(t, "rooms:\n  hall:\n    colour: red", `t.yaml:3:5: rooms.hall: unknown key "colour"; possible here: light, size`)
	bad(t, "size: 3", `t.yaml:1:1: unknown key "size"; did you mean "size" under "cellar"?`)
	bad(t, "name: a\nname: b", "t.yaml:2:1: name: the key is here twice; the first is on line 1")
	bad(t, "rooms: {a: {}, a: {}}", "t.yaml:1:16: rooms.a: the key is here twice; the first is on line 1")
	bad(t, "rooms:\n", "t.yaml:1:1: rooms: has no value; remove the key or give it one ({} for none)")
	bad(t, "name: ~", `t.yaml:1:1: name: has no value; remove the key or give it one ("" for an empty text)`)
	bad(t, "name: [a]", "t.yaml:1:7: name: expected a text, found a list")
	bad(t, "trusted: 10.0.0.0/8", `t.yaml:1:10: trusted: expected a list, found a text; write ["10.0.0.0/8"]`)
	bad(t, "- a", "t.yaml:1:1: expected keys with values, found a list")
	bad(t, "debug: yes", `t.yaml:1:8: debug: "yes" is not true or false`)
	bad(t, "debug: \"true\"", "t.yaml:1:8: debug: expected true or false, found a text; write it without quotes")
	bad(t, "workers: 1.5", `t.yaml:1:10: workers: "1.5" is not a whole number in plain digits`)
	bad(t, "workers: 010", `t.yaml:1:10: workers: "010" is not a whole number in plain digits`)
	bad(t, "small: 256", `t.yaml:1:8: small: "256" is out of range`)
	bad(t, "small: -1", `t.yaml:1:8: small: "-1" is negative`)
	bad(t, "ratio: .nan", `t.yaml:1:8: ratio: ".nan" is not a number`)
	bad(t, "wait: 10", `t.yaml:1:7: wait: "10" is not a duration; write it with a unit, as 250ms, 10s, 5m, 2h or 2d`)
	bad(t, "mode: fats", `t.yaml:1:7: mode: "fats" is not one of fast, slow, careful; did you mean "fast"?`)
	bad(t, "words: [red, blue]", `t.yaml:1:14: words[1]: "blue" is not one of red, green`)
	bad(t, "name: ${NONE}", "t.yaml:1:7: name: the environment variable NONE is not set; set it, or give a default as ${NONE:-…}")
	bad(t, "name: ${N", "t.yaml:1:7: name: a reference ${ is not closed by }; write $${ to mean the characters")
	bad(t, "name: ${file:/x}", "t.yaml:1:7: name: ${file:…} is for secrets only")
	bad(t, "wait: ${PASSWORD}", `t.yaml:1:7: wait: "${PASSWORD}" is not a duration; write it with a unit, as 250ms, 10s, 5m, 2h or 2d`)
	bad(t, "token: ${file:x}", `t.yaml:1:8: token: the secret's file "x" is not an absolute path`)
}

func TestSyntax(t *testing.T) {
	bad(t, "name: a\n---\nname: b", "t.yaml:2:1: a second document begins here; a configuration is one document")
	bad(t, "name: a\nrooms:\n\thall: {}\n", "t.yaml:3:1: a tab indents this line; YAML is indented with spaces")
	bad(t, "name: a\n\xff", "t.yaml:2:1: byte 0xff is not UTF-8; save the file as UTF-8")
	bad(t, "name: a\x00", "t.yaml:1:8: control character 0x00 in the file")
	bad(t, "name: a\nhosts: *.example.com\nmode: fast", "t.yaml:2:8: * begins an alias in YAML, and aliases are not supported; to mean the character, put the value in quotes")
	bad(t, "name: &x a", "t.yaml:1:7: anchors are not supported; write the value out, or put it in quotes to mean the character &")
	bad(t, "name: &x a\nnote: *x", "t.yaml:1:7: anchors are not supported; write the value out, or put it in quotes to mean the character &",
		"t.yaml:2:7: aliases are not supported; write the value out, or put it in quotes to mean the character *")
	bad(t, "name: !!str a", "t.yaml:1:7: YAML tags are not supported; put the value in quotes to mean the character !")
	bad(t, "set:\n  <<: {a: b}", "t.yaml:2:3: set: merge keys are not supported; write the values out")
	bad(t, "name: 'a\nmode: fast\n", "t.yaml:1:1: this is not YAML: found unexpected end of stream")
	bad(t, "name: a\nmode: fast\n  debug: true\nratio: 1\n", "t.yaml:3:3: this is not YAML: mapping values are not allowed in this context")
	bad(t, strings.Repeat("[", 30)+strings.Repeat("]", 30), "t.yaml:1:25: nested more than 24 deep")
	bad(t, strings.Repeat("#", MaxFile+1), "t.yaml: the file is larger than 1024 KiB; a configuration that large is a mistake")
	bad(t, "words: ["+strings.Repeat("a,", 2*maxNodes)+"]", "t.yaml: the file has more than 200000 keys and values")
}

func TestErrorIsBounded(t *testing.T) {
	var text strings.Builder
	for i := range 100 {
		text.WriteString(strings.Repeat("x", i+1) + ": 1\n")
	}
	_, _, problems := decode(t, text.String())
	lines := strings.Split(Refuse(problems).Error(), "\n")
	if len(lines) != 21 || lines[20] != "and 80 more problems" {
		t.Fatalf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

func TestPlace(t *testing.T) {
	_, sources, _ := decode(t, "name: x\nrooms:\n  hall:\n    size: 1\ndoors:\n  - to: ${PASSWORD}\n    width: 3\n")
	place := func(path, want string) {
		t.Helper()
		if got := sources.Place(conf.Problem{Path: path, Reason: "r"}).Source.String(); got != want {
			t.Errorf("%s is at %s, expected %s", path, got, want)
		}
	}
	place("rooms.hall.size", "t.yaml:4:11")
	place("rooms.hall.light", "t.yaml:3:3")
	place("rooms.attic", "t.yaml:2:1")
	place("doors[0].to", "t.yaml:6:9")
	place("doors[0].closer", "t.yaml:6:5")
	place("mode", "t.yaml:1:1")
	sources.Set("rooms.hall", Source{Label: "flag --hall"})
	place("rooms.hall.size", "flag --hall")
	p := sources.Place(conf.Problem{Path: "doors[0].to", Reason: "no room hunter2hunter2"})
	if strings.Contains(p.Reason, "hunter2") || !strings.Contains(p.Reason, "${PASSWORD}") {
		t.Errorf("a referenced value shows: %s", p.Reason)
	}
}

func TestRender(t *testing.T) {
	text := "name: 'true'\nnote: 'a ${NAME} $${x}'\nwait: 90s\ntoken: abc\ncellar: {}\nhosts: x\nsmall: ${N}\n" +
		"set: {b: 1, a: 'http://u:p@h/', authorization: Bearer abc, c: '${PASSWORD}', d: '${NAME}', e: ''}"
	s, sources, _ := decode(t, text)
	out := string(Render(s, sources))
	golden(t, "render.yaml", out)
	if strings.Contains(out, "abc") || strings.Contains(out, "hunter2") || strings.Contains(out, "u:p") {
		t.Errorf("a secret shows:\n%s", out)
	}
	s.Set = nil // what is elided there cannot be read back
	again := site{}
	if _, problems := Decode(Render(s, nil), &again, options()); len(problems) > 0 {
		t.Fatalf("cannot read what was rendered: %v", problems)
	}
	if string(Render(again, nil)) != string(Render(s, nil)) {
		t.Errorf("rendering twice differs:\n%s\n%s", Render(again, nil), Render(s, nil))
	}
}

func TestGenerated(t *testing.T) {
	s := &site{Mode: "slow", Words: []string{"red"}}
	page, err := Reference(s, []byte("name: example\nrooms: {hall: {size: 44}}\nhosts: [a, b]\n"), options())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "reference.md", string(page))
	schema, err := Schema(s, "test", options())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", string(schema))
}

// golden compares with a file in testdata; UPDATE=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (%v); UPDATE=1 go test rewrites it. Got:\n%s", path, err, got)
	}
}

func TestKeepRestart(t *testing.T) {
	running := &site{Name: "a", Listen: ":1", Doors: []door{{To: "x", Closer: 5}}}
	next := &site{Name: "b", Listen: ":2", Doors: []door{{To: "y", Closer: 6}}}
	got := KeepRestart(running, next)
	want := &site{Name: "b", Listen: ":1", Doors: []door{{To: "y", Closer: 5}}}
	if !reflect.DeepEqual(got, []string{"listen", "doors[0].closer"}) || !reflect.DeepEqual(next, want) {
		t.Errorf("%v, %+v", got, next)
	}
	running.Cellar, next = &room{Size: 1}, &site{Listen: ":1", Doors: running.Doors, Cellar: &room{Size: 2, Light: true}}
	if got := KeepRestart(running, next); !reflect.DeepEqual(got, []string{"cellar.size"}) || *next.Cellar != (room{1, true}) {
		t.Errorf("%v, %+v", got, next)
	}
	running.Cellar, next = nil, &site{Name: "c", Listen: ":1", Doors: nil}
	if got := KeepRestart(running, next); !reflect.DeepEqual(got, []string{"doors"}) || len(next.Doors) != 1 {
		t.Errorf("%v, %+v", got, next)
	}
}

func TestCheck(t *testing.T) {
	if faults := Check(reflect.TypeFor[site]()); len(faults) > 0 {
		t.Errorf("%v", faults)
	}
	type wrong struct {
		NoTag string
		Chan  chan int `yaml:"chan" doc:"x"`
		Twice string   `yaml:"chan" doc:"x"`
	}
	if faults := Check(reflect.TypeFor[wrong]()); len(faults) != 3 {
		t.Errorf("%v", faults)
	}
}

func TestNearest(t *testing.T) {
	near := func(word, want string, among ...string) {
		t.Helper()
		if got := Nearest(word, among); got != want {
			t.Errorf("%q is near %q, expected %q", word, got, want)
		}
	}
	near("orgin", "origin", "origin", "route")
	near("tiemout", "timeout", "timeout", "times")
	near("Origin", "origin", "origin")
	near("zzz", "", "origin")
	near("a", "b", "b")
	near("", "", "origin")
	near("warning", "warn", "debug", "warn")
	near("6xx", "", "1xx", "2xx")
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"name: a", "rooms: {a: {size: 1}}", "doors:\n  - to: ${N}\n", "a: &a [*a]", "- - -\n", "? a\n: b",
		"%YAML 1.2\n---\nname: |\n  x\n...", "name: \"\\x41\"", "set: {<<: {a: b}}", "name: >-\n x\n\n y", "\t", "{[:", "token: ${file:/x}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &site{}
		sources, problems := Decode(data, s, options())
		for _, p := range problems {
			_ = p.String()
		}
		if len(problems) > 0 {
			return
		}
		rendered := Render(s, nil)
		again := &site{}
		if _, problems := Decode(rendered, again, options()); len(problems) > 0 {
			t.Fatalf("cannot read what was rendered: %v\n%s", problems, rendered)
		}
		if twice := Render(again, nil); string(twice) != string(rendered) {
			t.Fatalf("rendered\n%s\nthen\n%s", rendered, twice)
		}
		Render(s, sources)
	})
}

// What follows from a value that could not be read is not said a second time.
func TestPlaceAll(t *testing.T) {
	_, sources, decoding := decode(t, "worker: 3\nrooms:\n  hall: {size: big}\nratio: 7\n")
	found := []conf.Problem{{Path: "workers", Reason: "is missing"}, {Path: "rooms.hall.size", Reason: "is 0"},
		{Path: "rooms", Reason: "are all small"}, {Path: "ratio", Reason: "is above 1"}}
	all := sources.PlaceAll(found, decoding)
	if len(decoding) != 2 || len(all) != 1 || all[0].String() != "t.yaml:4:8: ratio: is above 1" {
		t.Errorf("%v\n%v", decoding, all)
	}
}
