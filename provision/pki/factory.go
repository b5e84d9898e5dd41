package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxVendors    = 100
	maxVendorFile = 1 << 20
	weakSuffix    = ".weak"
)

// vendor is one file of the folder of factory authorities. Every certificate in it is trusted, whoever signed it: it was
// put there for that.
type vendor struct {
	name  string // the file's, without its ending
	weak  bool   // its devices' keys have leaked
	roots *x509.CertPool
	certs []*x509.Certificate
	was   stamp
	fault error // the file can't be read; what was read before stays in force
}

// stamp tells whether a file has changed.
type stamp struct {
	size int64
	at   time.Time
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime()} }

// readVendors reads the folder. What hasn't changed since is taken over. A folder that isn't there has no vendors.
func readVendors(dir string, old []*vendor) ([]*vendor, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return old, fmt.Errorf("read factory authorities: %w", err)
	}
	var list []*vendor
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".pem")
		if !ok || strings.HasPrefix(name, ".") || len(list) == maxVendors {
			continue
		}
		i := slices.IndexFunc(old, func(v *vendor) bool { return v.name == name })
		info, err := os.Stat(filepath.Join(dir, e.Name())) // of what a link points at
		if i >= 0 && err == nil && old[i].was == stampOf(info) {
			list = append(list, old[i])
			continue
		}
		v := &vendor{name: name}
		if i >= 0 {
			*v = *old[i]
		}
		v.fault = err
		if err == nil {
			v.was = stampOf(info)
			v.fault = v.read(filepath.Join(dir, e.Name()))
		}
		list = append(list, v)
	}
	return list, nil
}

func (v *vendor) read(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxVendorFile+1))
	if err != nil {
		return err
	}
	if len(data) > maxVendorFile {
		return fmt.Errorf("it is larger than %d bytes", maxVendorFile)
	}
	certs, err := parseCerts(data)
	if err != nil {
		return err
	}
	for _, c := range certs {
		if c.Version == 3 && !c.IsCA {
			return fmt.Errorf("%s is no authority's certificate", c.Subject)
		}
	}
	v.certs, v.roots, v.weak = certs, x509.NewCertPool(), strings.HasSuffix(v.name, weakSuffix)
	for _, c := range certs {
		v.roots.AddCert(c)
	}
	return nil
}
