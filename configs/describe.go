package configs

import (
	_ "embed"

	"github.com/tzero-edge/tzero/configs/strict"
)

//go:generate go test . -run TestGenerated -update

// Example is the shipped configuration with comments.
//
//go:embed tzero.example.yaml
var Example []byte

// Schema returns the JSON Schema of the configuration file, for editors.
func Schema() ([]byte, error) {
	c := Default()
	return strict.Schema(&c, "tzero configuration", options())
}

// Reference returns the reference page of the configuration file.
func Reference() ([]byte, error) {
	c := Default()
	o := options()
	o.File = "tzero.example.yaml"
	tables, err := strict.Reference(&c, Example, o)
	return append([]byte(referenceHead), tables...), err
}

const referenceHead = `# Configuration

This page is made from the program itself; ` + "`go generate ./configs`" + ` rewrites it. A commented example stands in
` + "[`configs/tzero.example.yaml`](../../configs/tzero.example.yaml)" + `, a JSON Schema for editors in
` + "[`configs/tzero.schema.json`](../../configs/tzero.schema.json)" + ` (first line of your file:
` + "`# yaml-language-server: $schema=tzero.schema.json`" + `).

**Reading is strict.** A key that does not exist, a key twice, a value of the wrong type or without its unit, an empty
value, a route that can never match: each is refused with file, line, column and reason, all problems of a file at
once, and nothing changes. ` + "`tzero check`" + ` reads a file as ` + "`tzero run`" + ` would and prints the configuration that results, with the origin of
every value and without secrets.

**What wins.** Flags (` + "`--listen --origin --redis --admin --state-dir`" + `) win over the environment (` + "`TZERO_LISTEN`, `TZERO_ORIGIN`" + ` and so on),
which wins over the file, which wins over the defaults below. With no file, ` + "`--origin`" + ` alone is a complete configuration.

**Lists and mappings** in the file replace the default ones whole; what is left out inside an item has the item's default.

**Units.** Durations are written ` + "`250ms`, `10s`, `5m`, `2h`, `2d`" + `; sizes ` + "`512B`, `64KiB`, `8MiB`, `1GiB`" + ` (or decimal ` + "`kB`, `MB`, `GB`" + `). A bare
number is refused, except 0.

**References.** In every value, ` + "`${NAME}`" + ` stands for an environment variable, which must be set, and ` + "`${NAME:-text}`" + ` has a default for
when it is not set or empty. In secrets, ` + "`${file:/run/secrets/name}`" + ` stands for a file's content without its last line
break. ` + "`$${`" + ` is a literal ` + "`${`" + `.

**Not supported, on purpose:** anchors, aliases, merge keys, YAML tags, several documents, files over 1 MiB. A value that begins with
` + "`*`, `&` or `!`" + ` needs quotes, as ` + "`\"*.example.com\"`" + `.

**Reload.** SIGHUP, or ` + "`POST /reload`" + ` on the admin server, reads everything again. What is marked *A change needs a restart* keeps its running value
until then, which the log says aloud; everything else applies at once.

Paths below: ` + "`origins.<name>`" + ` is a mapping with names of your choice, ` + "`routes[]`" + ` an item of a list.

## Top level
`
