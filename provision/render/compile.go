package render

import (
	"slices"
	"strings"
	"text/template/parse"
)

// compile makes the compiled forms of parsed templates, which must be prepared. What it can't do is compiled to
// something that stops the machine.
func compile(trees map[string]*parse.Tree, funcs map[string]native) map[string]*routine {
	routines := make(map[string]*routine, len(trees))
	for name := range trees {
		routines[name] = &routine{}
	}
	for name, tree := range trees {
		c := compiler{routines: routines, funcs: funcs, scope: []string{"$"}, slots: 1}
		routines[name].body = c.list(tree.Root)
		routines[name].slots = c.slots
	}
	return routines
}

// compiler compiles one template.
type compiler struct {
	routines map[string]*routine
	funcs    map[string]native
	scope    []string // the variables that can be seen, by slot
	slots    int      // how many there were at most
}

func stop(*machine) flow { return stopped }

func giveUp(*machine) (any, bool) { return nil, false }

func (c *compiler) list(l *parse.ListNode) []action {
	if l == nil {
		return nil
	}
	defer func(n int) { c.scope = c.scope[:n] }(len(c.scope))
	actions := make([]action, 0, len(l.Nodes))
	for _, n := range l.Nodes {
		actions = append(actions, c.node(n))
	}
	return actions
}

func (c *compiler) node(n parse.Node) action {
	switch n := n.(type) {
	case *parse.TextNode:
		return text(string(n.Text))
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			cmds := n.Pipe.Cmds // the last is the escaper
			return printed(c.commands(cmds[:len(cmds)-1]))
		}
		value := c.commands(n.Pipe.Cmds)
		slots := c.declare(n.Pipe)
		if slices.Contains(slots, -1) {
			return stop
		}
		return assigned(value, slots)
	case *parse.IfNode:
		return c.branch(&n.BranchNode, false)
	case *parse.WithNode:
		return c.branch(&n.BranchNode, true)
	case *parse.RangeNode:
		if n.Pipe.IsAssign {
			return stop
		}
		defer func(n int) { c.scope = c.scope[:n] }(len(c.scope))
		value := c.commands(n.Pipe.Cmds)
		slots := c.declare(n.Pipe)
		return loop(value, slots, c.list(n.List), c.list(n.ElseList))
	case *parse.TemplateNode:
		if n.Pipe == nil {
			return called(c.routines[n.Name], nil)
		}
		if names, values := c.handed(n.Pipe); names != nil {
			return calledWith(c.routines[n.Name], names, values)
		}
		return called(c.routines[n.Name], c.pipe(n.Pipe))
	case *parse.BreakNode:
		return func(*machine) flow { return broken }
	case *parse.ContinueNode:
		return func(*machine) flow { return continued }
	}
	return stop
}

func (c *compiler) branch(n *parse.BranchNode, with bool) action {
	defer func(n int) { c.scope = c.scope[:n] }(len(c.scope))
	value := c.commands(n.Pipe.Cmds)
	slots := c.declare(n.Pipe)
	if slices.Contains(slots, -1) {
		return stop
	}
	return branch(value, slots, with, c.list(n.List), c.list(n.ElseList))
}

// handed compiles the dict that a {{template}} is called with; nil: it is something else.
func (c *compiler) handed(p *parse.PipeNode) (names []string, values []expr) {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 {
		return nil, nil
	}
	args := p.Cmds[0].Args
	if f, ok := args[0].(*parse.IdentifierNode); !ok || f.Ident != "dict" || len(args) < 3 || len(args)%2 == 0 {
		return nil, nil
	}
	for i := 1; i < len(args); i += 2 {
		name, ok := args[i].(*parse.StringNode)
		if !ok || slices.Contains(names, name.Text) {
			return nil, nil
		}
		names, values = append(names, name.Text), append(values, c.operand(args[i+1]))
	}
	return names, values
}

// declare returns the slots of the variables that a pipeline sets, new ones if it declares them.
func (c *compiler) declare(p *parse.PipeNode) []int {
	slots := make([]int, 0, len(p.Decl))
	for _, v := range p.Decl {
		if p.IsAssign {
			slots = append(slots, c.slot(v.Ident[0]))
			continue
		}
		slots = append(slots, len(c.scope))
		c.scope = append(c.scope, v.Ident[0])
	}
	c.slots = max(c.slots, len(c.scope))
	return slots
}

// slot returns a variable's slot; -1 if it can't be seen. The parser lets an {{else}} name what its {{if}} declared.
func (c *compiler) slot(name string) int {
	for i, n := range slices.Backward(c.scope) {
		if n == name {
			return i
		}
	}
	return -1
}

// pipe compiles a pipeline that sets no variables.
func (c *compiler) pipe(p *parse.PipeNode) expr {
	if len(p.Decl) > 0 {
		return giveUp
	}
	return c.commands(p.Cmds)
}

// commands compiles a pipeline's commands: each but the first is a function that gets the value of the one before last.
func (c *compiler) commands(cmds []*parse.CommandNode) expr {
	var value expr
	for i, cmd := range cmds {
		switch name, ok := cmd.Args[0].(*parse.IdentifierNode); {
		case ok:
			args := make([]expr, 0, len(cmd.Args))
			for _, a := range cmd.Args[1:] {
				args = append(args, c.operand(a))
			}
			if i > 0 {
				args = append(args, value)
			}
			f := c.funcs[name.Ident]
			if format, ok := cmd.Args[min(1, len(cmd.Args)-1)].(*parse.StringNode); ok && name.Ident == "printf" {
				f = formatted(format.Text, f)
			}
			value = call(name.Ident, f, args)
			if key, ok := cmd.Args[len(cmd.Args)-1].(*parse.StringNode); ok && name.Ident == "get" && i == 0 && len(args) == 2 {
				value = keyOf(args[0], key.Text, value)
			}
			if i == 0 && (name.Ident == "dict" || name.Ident == "list") && literals(cmd.Args[1:]) {
				value = made(value)
			}
		case i > 0 || len(cmd.Args) > 1:
			return giveUp
		default:
			value = c.operand(cmd.Args[0])
		}
	}
	return value
}

// operand compiles what stands for a value by itself.
func (c *compiler) operand(n parse.Node) expr {
	switch n := n.(type) {
	case *parse.DotNode:
		return func(m *machine) (any, bool) { return m.dot, true }
	case *parse.FieldNode:
		return fields(func(m *machine) (any, bool) { return m.dot, true }, n.Ident)
	case *parse.VariableNode:
		slot := c.slot(n.Ident[0])
		if slot < 0 {
			return giveUp
		}
		return fields(func(m *machine) (any, bool) { return m.vars[m.frame+slot], true }, n.Ident[1:])
	case *parse.ChainNode:
		return fields(c.operand(n.Node), n.Field)
	case *parse.PipeNode:
		return c.pipe(n)
	case *parse.IdentifierNode:
		return call(n.Ident, c.funcs[n.Ident], nil)
	case *parse.StringNode:
		return constant(n.Text)
	case *parse.BoolNode:
		return constant(n.True)
	case *parse.NumberNode:
		switch {
		case n.IsComplex:
		case n.IsFloat && strings.ContainsAny(n.Text, ".eEpP") && !strings.ContainsAny(n.Text, "'xX"):
			return constant(n.Float64)
		case n.IsInt && !strings.ContainsAny(n.Text, "pP") && int64(int(n.Int64)) == n.Int64:
			return constant(int(n.Int64))
		}
	}
	return giveUp
}

// literals reports whether all nodes stand for themselves.
func literals(nodes []parse.Node) bool {
	for _, n := range nodes {
		switch n.Type() {
		case parse.NodeString, parse.NodeNumber, parse.NodeBool:
		default:
			return false
		}
	}
	return true
}

// made returns a value that is always the same, made once. No template can change a map or a list.
func made(value expr) expr {
	if v, ok := value(&machine{}); ok {
		return constant(v)
	}
	return value
}

func fields(value expr, names []string) expr {
	for _, name := range names {
		value = fieldOf(value, name)
	}
	return value
}

func constant(v any) expr { return func(*machine) (any, bool) { return v, true } }
