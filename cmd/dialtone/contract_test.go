package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// Every operation of openapi.yaml is done by the generated client at the console's port of a whole daemon; what is sent and
// what is answered is as the document has it, and what the document doesn't know is refused by name.
func TestContract(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	s.newConfig()
	s.waiting()
	s.sighting()
	cases := apiCases()
	for _, id := range slices.Sorted(maps.Keys(cases)) {
		if s.doc.operations[id] == nil {
			t.Errorf("apicases_test.go has %s, which openapi.yaml lacks", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.doc.operations)) {
		c, ok := cases[id]
		if !ok {
			t.Errorf("openapi.yaml has %s: add to apicases_test.go how it succeeds", id)
			continue
		}
		x := c.make(s, s.client(s.office))
		as := s.people[access.Owner].as
		if x.by != nil {
			as = x.by.as
		}
		s.unknownFields(id, x.call, as)
		if status, body := s.try(x.call, as); status != c.status {
			t.Errorf("%s: %d, want %d: %.500s", id, status, c.status, body)
		}
		if !s.seen[id] {
			t.Errorf("%s was never answered", id)
		}
	}
}

// What is too short or too few is refused by its pointer.
func TestContractBounds(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	for pointer, body := range map[string]api.ImportFiles{
		"/files": {Files: []api.ImportFile{}}, "/files/0/name": {Files: []api.ImportFile{{Content: []byte("mac")}}},
	} {
		status, answer := s.try(func(edit ...api.RequestEditorFn) (*http.Response, error) {
			return s.client(s.office).ImportFiles(t.Context(), "csv", nil, body, edit...)
		}, s.people[access.Owner].as)
		var p api.Problem
		if err := json.Unmarshal(answer, &p); err != nil || status != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %d %s, %v; want 400 of it", pointer, status, answer, err)
		}
	}
}

// unknownFields puts a field into each object of a body, one after the other.
func (s *apiSite) unknownFields(id string, c call, as api.RequestEditorFn) {
	s.t.Helper()
	shape := s.doc.operations[id].json()
	if shape == nil {
		return
	}
	var body []byte
	read := func(_ context.Context, r *http.Request) (err error) {
		body, err = io.ReadAll(r.Body)
		return errors.Join(err, errLookedAt)
	}
	if _, err := c(as, read); !errors.Is(err, errLookedAt) {
		s.t.Fatalf("%s: %v", id, err)
	}
	var whole any
	if err := json.Unmarshal(body, &whole); err != nil {
		s.t.Fatalf("%s: %v", id, err)
	}
	pointers := s.doc.closed("", whole, shape)
	if !slices.Contains(pointers, "") {
		s.t.Errorf("%s: openapi.yaml lets any field be in its body: add additionalProperties: false", id)
	}
	for _, pointer := range pointers {
		changed := with(whole, pointer)
		status, answer := s.try(c, as, func(_ context.Context, r *http.Request) error {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
			r.GetBody = nil
			return nil
		})
		var p api.Problem
		if err := json.Unmarshal(answer, &p); err != nil || status != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0].Pointer != pointer+"/nosuch" {
			s.t.Errorf("%s with an unknown field %s/nosuch: %d %s, %v", id, pointer, status, answer, err)
		}
	}
}

var errLookedAt = errors.New("only looked at")

// with returns a copy of a document with a field that nobody knows in the object at a pointer.
func with(v any, pointer string) []byte {
	data, _ := json.Marshal(v) //nolint:errchkjson // it was read from JSON
	var whole any
	_ = json.Unmarshal(data, &whole) // it was just written
	at := whole
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch x := at.(type) {
		case map[string]any:
			if pointer != "" {
				at = x[step]
			}
		case []any:
			if i, err := strconv.Atoi(step); err == nil {
				at = x[i]
			}
		}
	}
	if object, ok := at.(map[string]any); ok {
		object["nosuch"] = 1
	}
	data, _ = json.Marshal(whole) //nolint:errchkjson // as above
	return data
}
