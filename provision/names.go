package provision

// String names the source as people read it.
func (s Source) String() string {
	switch s {
	case SourceNone:
		return "nothing"
	case SourceGuess:
		return "guess"
	case SourcePath:
		return "path"
	case SourceHeader:
		return "header"
	case SourceStored:
		return "record"
	case SourceNeighbour:
		return "neighbour"
	case SourceLease:
		return "lease"
	case SourceToken:
		return "token"
	case SourceCert:
		return "certificate"
	}
	return "unknown"
}

// String names the level, or the last level below a support in between.
func (s Support) String() string {
	names := [...]string{"none", "improbable", "unknown", "probable", "incomplete", "complete", "exact"}
	return names[min(max(int(s)/int(SupportImprobable), 0), len(names)-1)]
}

// String names the class as plugin.yaml does.
func (c Class) String() string {
	switch c {
	case ClassSecret:
		return "secret"
	case ClassDevice:
		return "device"
	case ClassSite:
		return "site"
	case ClassPublic:
		return "public"
	}
	return "unknown"
}
