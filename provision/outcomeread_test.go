package provision

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Every field of the JSON form, those that are added later too, must survive being read back: the trace on disk is what
// is left of a request after a restart.
func TestOutcomeSurvivesJSON(t *testing.T) {
	var full outcomeJSON
	fill(t, reflect.ValueOf(&full).Elem(), "")
	full.Status = StatusForbidden
	full.Scores = []scoreJSON{{"p-1", SupportComplete.String(), int(SupportComplete), "why"}}
	want, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var o Outcome
	if err := json.Unmarshal(want, &o); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(o.Err, ErrForbidden) {
		t.Errorf("error %v has lost its kind", o.Err)
	}
	got, err := json.Marshal(&o)
	if err != nil {
		t.Fatal(err)
	}
	// Took is the sum of the steps, and an answer belongs to an outcome without an error.
	if diff := cmp.Diff(generic(t, want), generic(t, got)); diff != "" {
		t.Errorf("what was read back differs (-want +got):\n%s", diff)
	}

	full.Status, full.Error, o = StatusOK, "", Outcome{}
	if want, err = json.Marshal(full); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, &o); err != nil {
		t.Fatal(err)
	}
	if got, err = json.Marshal(&o); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Answer *answerJSON }
	if err := json.Unmarshal(got, &answer); err != nil || answer.Answer == nil || *answer.Answer != *full.Answer {
		t.Errorf("answer %+v, %v; want %+v", answer.Answer, err, full.Answer)
	}
}

// Outcomes that are read together are as when each is read alone, and have in memory only once what is the same in all.
func TestReaderShares(t *testing.T) {
	var full outcomeJSON
	fill(t, reflect.ValueOf(&full).Elem(), "")
	full.Status, full.Error = StatusOK, ""
	full.Scores = []scoreJSON{{"p-1", SupportComplete.String(), int(SupportComplete), "why"}}
	line, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var alone, first, second Outcome
	if err := json.Unmarshal(line, &alone); err != nil {
		t.Fatal(err)
	}
	var reader OutcomeReader
	for _, o := range []*Outcome{&first, &second} {
		if err := reader.Read(line, o); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*o, alone) {
			t.Errorf("read with others it is %+v, want %+v", *o, alone)
		}
	}
	if len(first.Layers) == 0 || reflect.ValueOf(first.Layers).Pointer() != reflect.ValueOf(second.Layers).Pointer() {
		t.Error("the layers are in memory twice")
	}
	if a, b := first.Claims[0].Value, second.Claims[0].Value; a == "" || unsafe.StringData(a) != unsafe.StringData(b) {
		t.Error("a claim's value is in memory twice")
	}
	for name, text := range map[string]string{"an array": `["x"]`, "a number": `{"x":1}`} {
		o := second
		if err := reader.Read([]byte(`{"id":7,"layers":`+text+`}`), &o); err == nil || !strings.Contains(err.Error(), "outcome 7") {
			t.Errorf("layers that are %s: %v", name, err)
		}
		if !reflect.DeepEqual(o, second) {
			t.Errorf("layers that are %s: the outcome has changed", name)
		}
	}
}

// What a request came to is the same after a restart.
func TestStatusSurvivesJSON(t *testing.T) {
	for _, s := range countedStatuses {
		text := ""
		if s != StatusOK {
			text = "why"
		}
		if got := StatusOf(errorOf(s, text)); got != s {
			t.Errorf("%s is read back as %s", s, got)
		}
	}
}

func generic(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "answer")
	return m
}

func TestOutcomeRefusesForeignJSON(t *testing.T) {
	for name, text := range map[string]string{
		"event":     `{"request":{"event":"x"}}`,
		"no object": `[]`,
		"source":    `{"claims":[{"attr":"mac","value":"x","source":"hearsay"}]}`,
		"class":     `{"route":{"rule":"r","class":"royal"}}`,
		"hash":      `{"answer":{"sha256":"ab"}}`,
		"peer":      `{"request":{"peer":"the phone"}}`,
		"conflict":  `{"identity":{"conflicts":[{"won":{"source":"x"}}]}}`,
		"lost":      `{"identity":{"conflicts":[{"won":{"source":"path"},"lost":{"source":"x"}}]}}`,
		"assurance": `{"identity":{"assurance":"x"}}`,
		"local":     `{"request":{"local":"x"}}`,
		"mac":       `{"request":{"mac":"x"}}`,
		"ignored":   `{"policy":{"ignore":["hearsay"]}}`,
		"evidence":  `{"evidence":{"state":"royal"},"decision":{"row":"ID-01"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			o := Outcome{Plugin: "untouched"}
			if err := json.Unmarshal([]byte(text), &o); err == nil || o.Plugin != "untouched" {
				t.Errorf("%s gives %+v, %v; want an error and nothing changed", text, o, err)
			}
		})
	}
}

// fill gives every field a value that is not its zero.
func fill(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)))
		return
	case hwaddr.Addr:
		v.Set(reflect.ValueOf(hwaddr.Addr{0, 0x15, 0x65, 1, 2, 3}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(t, elem, name)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), elem)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(0.25)
	case reflect.String:
		v.SetString(map[string]string{
			"Source": "lease", "Assurance": "path", "Class": "site", "Event": "moved", "Peer": "192.0.2.23", "Local": "192.0.2.1", "Via": "192.0.2.5",
			"State": "enrolled", "Cert": "factory", "Token": "valid", "Net": "lease", "Over": "http", "Ignore": "header",
			"Hash": strings.Repeat("ab", 32),
		}[name])
		if v.Len() == 0 {
			v.SetString("text of " + name)
		}
	default:
		t.Fatalf("%s is of a kind that fill doesn't know: %s", name, v.Kind())
	}
}
