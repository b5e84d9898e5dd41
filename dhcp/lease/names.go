package lease

// String names the state as the API and the log do.
func (s State) String() string {
	return name(int(s), "none", "offered", "bound", "released", "declined", "expired")
}

// String names the origin as the API and the log do.
func (o Origin) String() string { return name(int(o), "none", "pool", "reserved", "external") }

// String names the kind as hooks and the log do.
func (k Kind) String() string {
	return name(int(k), "none", "bound", "renewed", "moved", "released", "declined", "expired")
}

func name(i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}
