package render

import (
	"slices"
	"strings"
)

// The parts of a compiled template. Each reports by its last result whether it could do its work; if not, the render is
// done anew by text/template.
type (
	// expr gives the value of a pipeline or of a part of one. It is what text/template would hand to a function that
	// takes any.
	expr func(*machine) (any, bool)
	// action is a node of a template's body.
	action func(*machine) flow
)

// flow is how a template goes on.
type flow uint8

const (
	onward    flow = iota
	broken         // by {{break}}
	continued      // by {{continue}}
	stopped        // the compiled form can't do what comes next
)

// routine is one compiled template.
type routine struct {
	body  []action
	slots int // how many variables it has at most; the first is $
}

// machine runs one compiled template.
type machine struct {
	meter
	escape func(any) (string, error)
	dot    any
	frame  int   // where the variables of the running template begin
	vars   []any // of all running templates
	args   []any // of the functions that are being called
	spare  []*record
}

// run runs a template, and reports whether its output is whole.
func (m *machine) run(r *routine, data any) (ok bool) {
	defer func() {
		if recover() != nil { // text/template makes an error of a function's panic
			ok = false
		}
	}()
	return m.enter(r, data) == onward
}

// forget makes the machine fit for another run. Nothing stays of what was rendered: it may have had secrets.
func (m *machine) forget() {
	clear(m.out)
	clear(m.vars[:cap(m.vars)])
	clear(m.args[:cap(m.args)])
	*m = machine{meter: meter{out: m.out[:0]}, vars: m.vars[:0], args: m.args[:0], spare: m.spare}
	if cap(m.out) > 64<<10 {
		m.out = nil
	}
}

// enter runs a template's body with its own dot and variables.
func (m *machine) enter(r *routine, dot any) flow {
	frame, outer := m.frame, m.dot
	m.frame, m.dot = len(m.vars), dot
	m.vars = slices.Grow(m.vars, r.slots)[:m.frame+r.slots]
	m.vars[m.frame] = dot
	f := m.body(r.body)
	clear(m.vars[m.frame:])
	m.vars = m.vars[:m.frame]
	m.frame, m.dot = frame, outer
	return f
}

func (m *machine) body(actions []action) flow {
	for _, a := range actions {
		if f := a(m); f != onward {
			return f
		}
	}
	return onward
}

func (m *machine) set(slot int, v any) { m.vars[m.frame+slot] = v }

// text writes a text node; an empty one is a tick.
func text(s string) action {
	return func(m *machine) flow { return m.print(s) }
}

func (m *machine) print(s string) flow {
	if m.count(len(s)) != nil {
		return stopped
	}
	m.out = append(m.out, s...)
	return onward
}

// printed writes a value, escaped.
func printed(value expr) action {
	return func(m *machine) flow {
		v, ok := value(m)
		if !ok {
			return stopped
		}
		s, err := m.escape(unwrapped(v))
		if err != nil {
			return stopped
		}
		return m.print(s)
	}
}

// assigned sets variables.
func assigned(value expr, slots []int) action {
	return func(m *machine) flow {
		v, ok := value(m)
		if !ok {
			return stopped
		}
		for _, s := range slots {
			m.set(s, v)
		}
		return onward
	}
}

// branch is {{if}} and, with the value as dot, {{with}}.
func branch(value expr, slots []int, with bool, then, otherwise []action) action {
	return func(m *machine) flow {
		v, ok := value(m)
		if !ok {
			return stopped
		}
		for _, s := range slots {
			m.set(s, v)
		}
		if !truth(v) {
			return m.body(otherwise)
		}
		if !with {
			return m.body(then)
		}
		outer := m.dot
		m.dot = v
		f := m.body(then)
		m.dot = outer
		return f
	}
}

// called is {{template}}.
func called(r *routine, value expr) action {
	return func(m *machine) flow {
		var dot any
		if value != nil {
			var ok bool
			if dot, ok = value(m); !ok {
				return stopped
			}
		}
		return m.enter(r, dot)
	}
}

// calledWith is {{template}} with a dict of these names and values, of which no map is made. Nobody has the record any more
// when the template ends: functions get maps of it.
func calledWith(r *routine, names []string, values []expr) action {
	return func(m *machine) flow {
		var dot *record
		if n := len(m.spare); n > 0 {
			dot, m.spare = m.spare[n-1], m.spare[:n-1]
		} else {
			dot = &record{}
		}
		dot.names, dot.values = names, dot.values[:0]
		for _, value := range values {
			v, ok := value(m)
			if !ok {
				return stopped
			}
			dot.values = append(dot.values, unwrapped(v))
		}
		f := m.enter(r, dot)
		clear(dot.values)
		m.spare = append(m.spare, dot)
		return f
	}
}

// loop is {{range}}. Its slots are those of the index and of the element, or of the element alone.
func loop(value expr, slots []int, body, otherwise []action) action {
	return func(m *machine) flow {
		v, ok := value(m)
		if !ok {
			return stopped
		}
		for _, s := range slots {
			m.set(s, v)
		}
		n, at, ok := elements(unwrapped(v))
		if !ok {
			return stopped
		}
		if n == 0 {
			return m.body(otherwise)
		}
		outer := m.dot
		for i := range n {
			key, elem := at(i)
			if len(slots) > 0 {
				m.set(slots[len(slots)-1], elem)
			}
			if len(slots) > 1 {
				m.set(slots[0], key)
			}
			m.dot = elem
			f := m.body(body)
			if f == stopped {
				return f
			}
			if f == broken {
				break
			}
		}
		m.dot = outer
		return onward
	}
}

// elements returns how many elements a value has and a function that gives them, with their keys, in the order of
// {{range}}.
func elements(v any) (n int, at func(int) (key, elem any), ok bool) {
	switch list := v.(type) {
	case nil:
		return 0, nil, true
	case []Entry:
		return len(list), func(i int) (key, elem any) { return i, &list[i] }, true
	case []any:
		return len(list), func(i int) (key, elem any) { return i, list[i] }, true
	case []string:
		return len(list), func(i int) (key, elem any) { return i, list[i] }, true
	case []int64:
		return len(list), func(i int) (key, elem any) { return i, list[i] }, true
	}
	m, ok := asMap(v)
	if !ok {
		return 0, nil, false
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return len(keys), func(i int) (key, elem any) { return keys[i], m[keys[i]] }, true
}
