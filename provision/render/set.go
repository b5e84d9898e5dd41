package render

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/template"
	"text/template/parse"
	"time"
)

// Error is a fault of a template, at load or while it runs.
type Error struct {
	Template string // the source's name
	Line     int    // from 1; zero if the place isn't known
	Text     string
}

// Error returns "name:line: text".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Template + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.Template, e.Line, e.Text)
}

// Source is the text of one template file.
type Source struct{ Name, Text string }

// Set is the templates of one plugin, ready to run. It is immutable and safe for concurrent use.
type Set struct {
	byKind   map[Kind]*template.Template
	routines map[string]*routine   // the same in the compiled form
	machines sync.Pool             // of *machine
	shape    atomic.Pointer[shape] // of the data that was rendered last
}

// Output is a rendered file and its SHA-256.
type Output struct {
	Data []byte
	Hash [32]byte
}

// Parse makes a set of the sources, whose names are the names of the templates. Its error joins one [Error] for each
// fault that it found.
func Parse(sources []Source) (*Set, error) {
	funcs := functions()
	trees := make(map[string]*parse.Tree)
	var errs []error
	for _, src := range sources {
		t, err := template.New(src.Name).Funcs(funcs).Parse(src.Text)
		if err != nil {
			errs = append(errs, explain(src.Name, err))
			continue
		}
		if t.Tree == nil { // nothing but definitions
			t.Tree = &parse.Tree{Name: src.Name, ParseName: src.Name, Root: &parse.ListNode{NodeType: parse.NodeList}}
		}
		own := map[string]*parse.Tree{src.Name: t.Tree}
		for _, d := range t.Templates() {
			own[d.Name()] = d.Tree
		}
		for _, name := range slices.Sorted(maps.Keys(own)) {
			if first := trees[name]; first != nil {
				errs = append(errs, &Error{src.Name, 0, fmt.Sprintf("template %q is defined in %s already; rename one", name, first.ParseName)})
				continue
			}
			trees[name] = own[name]
		}
	}
	errs = append(errs, checkCalls(trees)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	base := template.New("").Funcs(funcs).Option("missingkey=error")
	for name, tree := range trees {
		prepare(tree.Root)
		tree.Root.Nodes = slices.Insert(tree.Root.Nodes, 0, tick(tree.Root.Pos))
		if _, err := base.AddParseTree(name, tree); err != nil {
			return nil, explain(name, err)
		}
	}
	s := &Set{byKind: make(map[Kind]*template.Template), routines: compile(trees, natives(funcs))}
	for _, k := range Kinds() {
		t, err := base.Clone()
		if err != nil {
			return nil, fmt.Errorf("clone templates: %w", err)
		}
		s.byKind[k] = t.Funcs(template.FuncMap{escFunc: k.escaper()})
	}
	return s, nil
}

// Has reports whether there is a template of that name. A nil set has none.
func (s *Set) Has(name string) bool { return s != nil && s.byKind[Line].Lookup(name) != nil }

// Render runs a template of the set on data. The error is an [Error] or the context's.
func (s *Set) Render(ctx context.Context, name string, kind Kind, data any) (Output, error) {
	t := s.byKind[kind]
	if t == nil {
		return Output{}, fmt.Errorf("%q is no kind of file", kind)
	}
	if t = t.Lookup(name); t == nil {
		return Output{}, &Error{name, 0, "there is no such template"}
	}
	start := time.Now()
	if out, ok := s.compiled(ctx, start, name, kind, data); ok {
		return out, nil
	}
	m := &meter{ctx: ctx, start: start}
	if err := t.Execute(m, data); err != nil {
		if ctx.Err() != nil {
			return Output{}, ctx.Err()
		}
		return Output{}, explain(name, err)
	}
	return Output{Data: m.out, Hash: sha256.Sum256(m.out)}, nil
}

// compiled runs the compiled form; false: text/template must do it.
func (s *Set) compiled(ctx context.Context, start time.Time, name string, kind Kind, data any) (Output, bool) {
	m, ok := s.machines.Get().(*machine)
	if !ok {
		m = &machine{}
	}
	defer s.machines.Put(m)
	defer m.forget()
	m.ctx, m.start, m.escape = ctx, start, kind.escaper()
	if !m.run(s.routines[name], recordOf(data, &s.shape)) {
		return Output{}, false
	}
	out := slices.Clone(m.out)
	return Output{Data: out, Hash: sha256.Sum256(out)}, true
}

// escFunc is what every print action ends in. A template that names it itself escapes twice.
const escFunc = "_esc"

// prepare makes every print action below n end in the escaper and every loop body begin with a tick.
func prepare(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			prepare(c)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 { // an assignment prints nothing
			id := parse.NewIdentifier(escFunc).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{id}})
		}
	case *parse.IfNode:
		prepare(n.List)
		prepare(n.ElseList)
	case *parse.WithNode:
		prepare(n.List)
		prepare(n.ElseList)
	case *parse.RangeNode:
		prepare(n.List)
		prepare(n.ElseList)
		n.List.Nodes = slices.Insert(n.List.Nodes, 0, tick(n.List.Pos))
	}
}

// tick returns an empty text node: one call of the Writer.
func tick(pos parse.Pos) parse.Node { return &parse.TextNode{NodeType: parse.NodeText, Pos: pos} }

// checkCalls refuses calls of templates that don't exist and calls in a circle. A recursion could be stopped by its
// steps, too, but not before each of them has put a frame on the stack.
func checkCalls(trees map[string]*parse.Tree) (errs []error) {
	const visiting, done = 1, 2
	state := make(map[string]int)
	var visit func(name string)
	visit = func(name string) {
		state[name] = visiting
		tree := trees[name]
		for _, c := range calls(tree.Root) {
			switch {
			case trees[c.Name] == nil:
				errs = append(errs, &Error{tree.ParseName, c.Line, fmt.Sprintf("there is no template %q", c.Name)})
			case state[c.Name] == visiting:
				errs = append(errs, &Error{tree.ParseName, c.Line, fmt.Sprintf("template %q calls %q, which leads back to it; use range", name, c.Name)})
			case state[c.Name] == 0:
				visit(c.Name)
			}
		}
		state[name] = done
	}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		if state[name] == 0 {
			visit(name)
		}
	}
	return errs
}

// calls returns the {{template}} actions below n.
func calls(n parse.Node) []*parse.TemplateNode {
	var found []*parse.TemplateNode
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			found = append(found, calls(c)...)
		}
	case *parse.TemplateNode:
		found = append(found, n)
	case *parse.IfNode:
		found = append(calls(n.List), calls(n.ElseList)...)
	case *parse.WithNode:
		found = append(calls(n.List), calls(n.ElseList)...)
	case *parse.RangeNode:
		found = append(calls(n.List), calls(n.ElseList)...)
	}
	return found
}

var (
	located = regexp.MustCompile(`(?s)^template: (.*?):(\d+):(?:\d+:)? (.*)$`)
	atPlace = regexp.MustCompile(`(?s)^executing ".*?" at (<.*?>): (.*)$`)
)

// explain turns an error of text/template into ours: its place apart, and no words about who called whom.
func explain(name string, err error) error {
	m := located.FindStringSubmatch(err.Error())
	if m == nil {
		return &Error{Template: name, Text: err.Error()}
	}
	line, _ := strconv.Atoi(m[2]) // digits only
	text := m[3]
	if c := atPlace.FindStringSubmatch(text); c != nil {
		text = "at " + c[1] + ": " + c[2]
	}
	text = strings.TrimPrefix(text, "at <"+escFunc+">: error calling "+escFunc+": ")
	return &Error{Template: cmp.Or(m[1], name), Line: line, Text: text}
}
