package strict

import (
	"errors"
	"fmt"
	"strings"
)

// expander replaces references in plain values.
type expander struct {
	lookup   func(string) (string, bool)
	readFile func(string) ([]byte, error)
}

const maxExpanded = 64 << 10 // bytes a value may have after its references were replaced

// expand replaces every reference in text; used says whether there was one. $${ stands for ${.
// secret permits ${file:…}: what a file holds goes only where no output shows it.
func (e expander) expand(text string, secret bool) (value string, used bool, err error) {
	if !strings.Contains(text, "${") {
		return text, false, nil
	}
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), used, nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			return "", true, errors.New("a reference ${ is not closed by }; write $${ to mean the characters")
		}
		v, err := e.one(text[i+2:i+end], secret)
		if err != nil {
			return "", true, err
		}
		used = true
		b.WriteString(v)
		if b.Len() > maxExpanded {
			return "", true, fmt.Errorf("the value has more than %d KiB once its references are replaced", maxExpanded>>10)
		}
		text = text[i+end+1:]
	}
}

// one resolves what stands between the braces.
func (e expander) one(ref string, secret bool) (string, error) {
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		return e.file(path, secret)
	}
	name, otherwise, hasDefault := strings.Cut(ref, ":-")
	if !isVariable(name) {
		return "", fmt.Errorf("%s is not a reference; write ${NAME}, ${NAME:-default}, or $${ to mean the characters", excerpt("${"+ref+"}"))
	}
	if v, ok := e.lookup(name); ok && (v != "" || !hasDefault) {
		return v, nil
	}
	if hasDefault {
		return otherwise, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set; set it, or give a default as ${%s:-…}", name, name)
}

func (e expander) file(path string, secret bool) (string, error) {
	switch {
	case !secret:
		return "", errors.New("${file:…} is for secrets only")
	case !strings.HasPrefix(path, "/"):
		return "", fmt.Errorf("the secret's file %s is not an absolute path", excerpt(path))
	case e.readFile == nil:
		return "", errors.New("${file:…} is not available here")
	}
	data, err := e.readFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the secret's file: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 128
}
