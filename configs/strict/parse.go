package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parse turns a file into its one document's node; nil for a file with nothing but comments. What it
// returns without problems is a tree of bounded size without aliases, anchors, tags or null documents.
func parse(data []byte, file string) (*yaml.Node, []Problem) {
	if p := checkBytes(data, file); p != nil {
		return nil, []Problem{*p}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	docs, err := documents(data)
	if err != nil {
		return nil, []Problem{syntaxProblem(data, file, err)}
	}
	if len(docs) == 0 {
		return nil, nil
	}
	if len(docs) > 1 {
		return nil, []Problem{at(file, docs[1], "a second document begins here; a configuration is one document")}
	}
	w := walker{file: file}
	w.walk(docs[0], 0)
	if len(w.problems) > 0 {
		return nil, w.problems
	}
	root := docs[0].Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	return root, nil
}

func at(file string, n *yaml.Node, format string, args ...any) Problem {
	return Problem{Source: Source{File: file, Line: n.Line, Column: n.Column}, Reason: fmt.Sprintf(format, args...)}
}

// checkBytes refuses what no parser should be asked to read. The parser's memory grows with the number of
// nodes, which cannot exceed the number of characters that separate them.
func checkBytes(data []byte, file string) *Problem {
	if len(data) > MaxFile {
		return &Problem{Source: Source{File: file}, Reason: fmt.Sprintf(
			"the file is larger than %d KiB; a configuration that large is a mistake", MaxFile>>10)}
	}
	separators := 0
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return placed(data, i, file, fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", data[i]))
		case r < 0x20 && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			return placed(data, i, file, fmt.Sprintf("control character 0x%02x in the file", r))
		case strings.ContainsRune(":,-[{?\n", r):
			separators++
		}
		i += n
	}
	if separators > 2*maxNodes {
		return &Problem{Source: Source{File: file}, Reason: fmt.Sprintf("the file has more than %d keys and values", maxNodes)}
	}
	return nil
}

// placed makes a problem at a byte offset.
func placed(data []byte, offset int, file, reason string) *Problem {
	before := data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return &Problem{Source: Source{File: file, Line: line, Column: column}, Reason: reason}
}

// documents parses at most two documents of a stream: the second is there to be refused.
func documents(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			docs, err = nil, fmt.Errorf("the YAML parser gave up: %.100v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < 2 {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, &n)
	}
	return docs, nil
}

// syntaxProblem finds a better place for a syntax error than the parser's line, which is often that of the
// construct around it: the line after the longest beginning of the file that parses.
func syntaxProblem(data []byte, file string, err error) Problem {
	line, reason := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(reason, "line "); ok {
		number, text, _ := strings.Cut(rest, ": ")
		line, _ = strconv.Atoi(number)
		reason = text
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if good, ok := longestGood(data, lines); ok {
		line = good + 1
	}
	line = min(max(line, 1), len(lines))
	for line < len(lines) && len(bytes.TrimSpace(lines[line-1])) == 0 {
		line++ // an empty line is never at fault
	}
	text := string(lines[line-1])
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	column := indent + 1
	tab, alias := strings.IndexByte(text[:indent], '\t'), aliasColumn(text)
	switch {
	case tab >= 0:
		column, reason = tab+1, "a tab indents this line; YAML is indented with spaces"
	case alias > 0 && (strings.HasPrefix(reason, "unknown anchor") || strings.HasPrefix(reason, "did not find expected alphabetic")):
		column, reason = alias, "* begins an alias in YAML, and aliases are not supported; to mean the character, put the value in quotes"
	default:
		reason = "this is not YAML: " + reason
	}
	return Problem{Source: Source{File: file, Line: line, Column: column}, Reason: reason}
}

// longestGood returns how many lines of the file parse. It looks from the end and stops, undecided, when
// it has read a few times the largest ordinary file.
func longestGood(data []byte, lines [][]byte) (int, bool) {
	const budget, attempts = 1 << 20, 400
	read, end := 0, len(data)
	for n := len(lines); n > 0; n-- {
		end -= len(lines[n-1])
		if read += end; read > budget || n < len(lines)-attempts {
			return 0, false
		}
		if _, err := documents(data[:end]); err == nil {
			return n - 1, true
		}
	}
	return 0, false
}

// aliasColumn finds the * that begins a value; 0 when none does.
func aliasColumn(text string) int {
	for _, before := range []string{": *", "- *", "[*", ", *", ",*"} {
		if i := strings.Index(text, before); i >= 0 {
			return utf8.RuneCountInString(text[:i+len(before)-1]) + 1
		}
	}
	return 0
}

// walker checks the whole tree before anything is decoded.
type walker struct {
	file     string
	nodes    int
	problems []Problem
}

func (w *walker) refuse(n *yaml.Node, reason string) {
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, at(w.file, n, "%s", reason))
	}
}

func (w *walker) walk(n *yaml.Node, depth int) {
	if w.nodes++; w.nodes > maxNodes {
		if w.nodes == maxNodes+1 {
			w.refuse(n, fmt.Sprintf("the file has more than %d keys and values", maxNodes))
		}
		return
	}
	switch {
	case depth > maxDepth:
		w.refuse(n, fmt.Sprintf("nested more than %d deep", maxDepth))
		return
	case n.Kind == yaml.AliasNode:
		w.refuse(n, "aliases are not supported; write the value out, or put it in quotes to mean the character *")
	case n.Anchor != "":
		w.refuse(n, "anchors are not supported; write the value out, or put it in quotes to mean the character &")
	case n.Style&yaml.TaggedStyle != 0:
		w.refuse(n, "YAML tags are not supported; put the value in quotes to mean the character !")
	}
	for _, c := range n.Content {
		w.walk(c, depth+1)
	}
}
