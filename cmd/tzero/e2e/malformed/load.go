package malformed

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// The format of a class file. The first line that begins with "#" names the class. A case is an unindented
// title and the indented lines below it:
//
//	name | RFC and section | expectation [allowed error statuses]
//	  "Go-quoted raw bytes"      one or more lines, concatenated
//	  repeat 9000 "a"            the same bytes many times
//	  method "GET"               what the origin must receive if it receives anything:
//	  target "/{id}"               defaults are the words sent and an empty body
//	  body "hello"                 ("any-body" to leave it open)
//	  field "Name" "value"
//	  absent "Name"
//	  drops "Name"               absent by tzero's own promise, not by an RFC
//	  never "text"               in no value, by tzero's own promise
//	  closes                     the connection ends after the answer
//	  half-close                 the client ends its side after the bytes, nothing follows
//
// In raw bytes, targets, values and bodies {id} stands for the case's own id. {GET}, {POST} and {CHUNKED} stand for
// the beginnings below, so that a case shows what is special about it.
var beginnings = strings.NewReplacer(
	"{GET}", "GET /{id} HTTP/1.1\r\nHost: t.test\r\n",
	"{POST}", "POST /{id} HTTP/1.1\r\nHost: t.test\r\n",
	"{CHUNKED}", "POST /{id} HTTP/1.1\r\nHost: t.test\r\nTransfer-Encoding: chunked\r\n\r\n",
)

// Load reads every *.txt of a folder in the order of their names. Ids follow the order of the cases.
func Load(fsys fs.FS) ([]*Case, error) {
	files, err := fs.Glob(fsys, "*.txt")
	if err != nil {
		return nil, fmt.Errorf("cannot list the class files: %w", err)
	}
	sort.Strings(files)
	var all []*Case
	for _, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the cases of %s: %w", file, err)
		}
		cases, err := parseFile(path.Base(file), string(text), len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	return all, nil
}

func parseFile(file, text string, before int) ([]*Case, error) {
	var (
		class string
		cases []*Case
		now   *Case
	)
	for i, line := range strings.Split(text, "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		switch {
		case strings.HasPrefix(line, "#"):
			if class == "" {
				class = strings.TrimSpace(line[1:])
			}
		case strings.TrimSpace(line) == "":
		case now == nil || line[0] != ' ':
			c, err := parseTitle(line)
			if err != nil {
				return nil, fmt.Errorf("cannot read the case at %s: %w", where, err)
			}
			c.Class, c.Where, c.ID = class, where, fmt.Sprintf("c%04dz", before+len(cases)+1)
			now, cases = c, append(cases, c)
		default:
			if err := now.detail(strings.TrimSpace(line)); err != nil {
				return nil, fmt.Errorf("cannot read the case at %s: %w", where, err)
			}
		}
	}
	for _, c := range cases {
		if err := c.finish(); err != nil {
			return nil, fmt.Errorf("cannot use the case at %s: %w", c.Where, err)
		}
	}
	return cases, nil
}

func parseTitle(line string) (*Case, error) {
	parts := strings.Split(line, " | ")
	if len(parts) != 3 || strings.HasPrefix(line, " ") {
		return nil, fmt.Errorf("%q is not of the form name | section | expectation", line)
	}
	c := &Case{Name: parts[0], Section: parts[1]}
	word, statuses, _ := strings.Cut(parts[2], " ")
	switch c.Expect = Expect(word); c.Expect {
	case Refuse, Cut, Should, Either, Accept:
	default:
		return nil, fmt.Errorf("%q is no expectation", word)
	}
	for _, s := range strings.Fields(strings.ReplaceAll(statuses, ",", " ")) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 400 || n > 599 {
			return nil, fmt.Errorf("%q is no error status", s)
		}
		c.Statuses = append(c.Statuses, n)
	}
	return c, nil
}

// detail reads one indented line.
func (c *Case) detail(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(line, `"`) {
		word, rest = "", line
	}
	args, err := quoted(rest)
	if err != nil {
		return err
	}
	switch key := fmt.Sprintf("%s/%d", word, len(args)); key {
	case "/1":
		c.Raw = append(c.Raw, args[0]...)
	case "repeat/2":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return fmt.Errorf("%q is no count", args[0])
		}
		c.Raw = append(c.Raw, strings.Repeat(args[1], n)...)
	case "method/1":
		c.Want.Method = args[0]
	case "target/1":
		c.Want.Target = args[0]
	case "body/1":
		c.Want.Body = args[0]
	case "any-body/0":
		c.Want.AnyBody = true
	case "field/2":
		c.Want.Fields = append(c.Want.Fields, Header{args[0], args[1]})
	case "absent/1":
		c.Want.Absent = append(c.Want.Absent, args[0])
	case "drops/1":
		c.Want.Drops = append(c.Want.Drops, args[0])
	case "never/1":
		c.Want.Never = append(c.Want.Never, args[0])
	case "closes/0":
		c.Closes = true
	case "half-close/0":
		c.HalfClose = true
	default:
		return fmt.Errorf("%q is not a line of a case", line)
	}
	return nil
}

// quoted reads Go-quoted strings and bare numbers, separated by spaces.
func quoted(s string) ([]string, error) {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] != '"' {
			word, rest, _ := strings.Cut(s, " ")
			out, s = append(out, word), rest
			continue
		}
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%s is not a quoted string", s)
		}
		v, err := strconv.Unquote(q)
		if err != nil {
			return nil, fmt.Errorf("%s is not a quoted string", q)
		}
		out, s = append(out, v), s[len(q):]
	}
	return out, nil
}

// finish puts in the beginnings and the id, and derives what was not said.
func (c *Case) finish() error {
	if c.Name == "" || c.Section == "" || len(c.Raw) == 0 {
		return fmt.Errorf("a case needs a name, a section and bytes")
	}
	c.Streams = c.Expect == Cut || bytes.HasPrefix(c.Raw, []byte("{CHUNKED}"))
	c.Raw = []byte(c.fill(beginnings.Replace(string(c.Raw))))
	method, target := firstWords(c.Raw)
	if c.Want.Method == "" {
		c.Want.Method = method
	}
	if c.Want.Target == "" {
		c.Want.Target = target
	}
	c.Want.Target, c.Want.Body = c.fill(c.Want.Target), c.fill(c.Want.Body)
	for i := range c.Want.Fields {
		c.Want.Fields[i].Value = c.fill(c.Want.Fields[i].Value)
	}
	return nil
}

// firstWords are the first two words of the first line that is not empty, whatever white space is between them.
func firstWords(raw []byte) (method, target string) {
	line := bytes.TrimLeft(raw, "\r\n")
	if end := bytes.IndexAny(line, "\r\n"); end >= 0 {
		line = line[:end]
	}
	words := strings.Fields(string(line) + " ")
	return strings.Join(words[:min(1, len(words))], ""), strings.Join(words[min(1, len(words)):min(2, len(words))], "")
}

func (c *Case) fill(s string) string { return strings.ReplaceAll(s, "{id}", c.ID) }
