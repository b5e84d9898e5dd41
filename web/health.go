package web

import (
	"encoding/json"
	"net/http"
)

// Part is one part of the appliance, and whether it works.
type Part struct {
	Name  string
	Ready bool
}

// serveHealth answers GET /healthz: the process is alive. It hangs if the lease table does, and says so by that.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	if s.Alive != nil {
		s.Alive()
	}
	writeHealth(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// serveReady answers GET /readyz: whether phones are served, and if not, which parts don't. It is for anybody, so it says
// no more than their names; `dialtone problem list` has the reasons.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Status  string   `json:"status"`
		Parts   []string `json:"parts"`
		Missing []string `json:"missing"`
	}{"ready", []string{}, []string{}}
	code := http.StatusOK
	if s.Ready != nil {
		for _, p := range s.Ready() {
			answer.Parts = append(answer.Parts, p.Name)
			if !p.Ready {
				answer.Missing = append(answer.Missing, p.Name)
				answer.Status, code = "not ready", http.StatusServiceUnavailable
			}
		}
	}
	writeHealth(w, code, answer)
}

func writeHealth(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
