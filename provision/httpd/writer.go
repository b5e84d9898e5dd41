package httpd

import (
	"io"
	"net/http"
	"strconv"
)

// writer remembers what was sent.
type writer struct {
	http.ResponseWriter
	status int   // zero: nothing yet
	n      int64 // bytes of the body
	err    error // of the first write that failed
}

// WriteHeader implements [http.ResponseWriter].
func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	return n, w.wrote(int64(n), err)
}

// ReadFrom implements [io.ReaderFrom]: net/http's own sends files by sendfile. What is in memory already is handed over
// as it is, which saves a buffer of 32 KiB, and mostly the packet with nothing but the headers.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if m, ok := limited.R.(inMemory); ok && int64(m.Len()) <= limited.N {
			n, err = m.WriteTo(struct{ io.Writer }{w.ResponseWriter})
			return n, w.wrote(n, err)
		}
	}
	n, err = io.Copy(w.ResponseWriter, r)
	return n, w.wrote(n, err)
}

// send sends all of a file as http.ServeContent would, if the request asks for nothing else.
func (w *writer) send(body inMemory) {
	values := &[...]string{"bytes", strconv.Itoa(body.Len())}
	h := w.Header()
	h["Accept-Ranges"], h["Content-Length"] = values[0:1:1], values[1:2:2]
	w.WriteHeader(http.StatusOK)
	_, _ = body.WriteTo(struct{ io.Writer }{w}) // w has the error
}

// inMemory is a body such as a bytes.Reader.
type inMemory interface {
	io.WriterTo
	Len() int
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) wrote(n int64, err error) error {
	w.n += n
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.err == nil {
		w.err = err
	}
	return err
}

// shortfall returns why the body isn't as long as the headers said, or nil.
func (w *writer) shortfall(method string) error {
	if w.err != nil || method == http.MethodHead {
		return w.err
	}
	if want, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil && w.n < want {
		return io.ErrUnexpectedEOF
	}
	return nil
}
