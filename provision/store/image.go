package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// image reads a store's file as bbolt lays it out, but without bbolt, which maps the file into memory and trusts it:
// a damaged one makes it panic, or the kernel end the process. An image checks each offset before it uses it, so that
// whatever is left of a file can be read in any process. It is for a file that nobody writes.
//
// The layout is bbolt's version 2: pages of equal size in the machine's byte order, of which the first two are meta
// pages that take turns; a tree of branch and leaf pages whose leaves hold buckets, each of which is such a tree again,
// or a single page within its own value.
type image struct {
	r      io.ReaderAt
	size   int64
	page   int64 // bytes of a page
	metas  []rawMeta
	damage []string
	seen   []uint64 // bitmap of the pages that were visited
	used   int64    // pages that were visited
	asked  []uint64 // the first page of each run of pages that was to be visited
}

// rawMeta is a meta page that is whole, and where it is.
type rawMeta struct {
	root, high, txid uint64
	at               int64
}

const (
	rawMagic   = 0xED0CDAED
	rawVersion = 2

	rawBranch   = 0x01
	rawLeaf     = 0x02
	rawFreelist = 0x10
	rawBucket   = 0x01 // flag of a leaf's element

	rawHeader  = 16 // bytes before a page's elements, and of an element, and of a bucket before its inline page
	rawMetaLen = 64 // bytes of a meta page after the header

	maxDamage  = 20 // that are told apart
	maxTree    = 64 // levels
	maxRawPage = 64 << 10
	maxStray   = 64 // pages beyond the first of a page that nothing leads to: what says so may be garbage
)

// openImage finds the meta pages. Its error says that there are none, or that the file can't be read.
func openImage(r io.ReaderAt, size int64) (*image, error) {
	m := &image{r: r, size: size}
	first, page, err := m.readMeta(0)
	if err == nil {
		m.metas = append(m.metas, first)
		if second, p, err := m.readMeta(page); err == nil && p == page {
			m.metas = append(m.metas, second)
		}
	} else {
		// The size of a page stands in the meta page, so the second one is where it says itself.
		for page = 1 << 10; page <= maxRawPage; page *= 2 {
			if second, p, err := m.readMeta(page); err == nil && p == page {
				m.metas = append(m.metas, second)
				break
			}
		}
	}
	if len(m.metas) == 0 {
		return nil, errors.New("it has no whole meta page")
	}
	slices.SortFunc(m.metas, func(a, b rawMeta) int { return cmp.Compare(b.txid, a.txid) })
	m.page = page
	m.forget()
	return m, nil
}

// readMeta reads the meta page at an offset and the size of pages that it names.
func (m *image) readMeta(at int64) (rawMeta, int64, error) {
	b := make([]byte, rawHeader+rawMetaLen)
	if _, err := m.r.ReadAt(b, at); err != nil {
		return rawMeta{}, 0, err
	}
	b = b[rawHeader:]
	order := binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:rawMetaLen-8])
	page := int64(order.Uint32(b[8:]))
	switch {
	case order.Uint32(b) != rawMagic, order.Uint32(b[4:]) != rawVersion, order.Uint64(b[rawMetaLen-8:]) != sum.Sum64():
		return rawMeta{}, 0, errChecksum
	case page < 1<<10 || page > maxRawPage || page&(page-1) != 0:
		return rawMeta{}, 0, fmt.Errorf("pages of %d bytes", page)
	}
	return rawMeta{root: order.Uint64(b[16:]), high: order.Uint64(b[40:]), txid: order.Uint64(b[48:]), at: at}, page, nil
}

// forget starts a new visit of all pages.
func (m *image) forget() { m.seen, m.used, m.asked = make([]uint64, m.pages()/64+1), 0, nil }

// pages is how many pages the file has.
func (m *image) pages() uint64 { return uint64(m.size / m.page) } //nolint:gosec // not negative

func (m *image) complain(format string, args ...any) {
	if len(m.damage) < maxDamage {
		m.damage = append(m.damage, fmt.Sprintf(format, args...))
	}
}

// rawPage is a branch or leaf page, with its overflow.
type rawPage struct {
	leaf  bool
	count int
	data  []byte
}

// element is one of a page's elements.
type element struct {
	start      int    // of the key within the page
	key, value []byte // the value of a leaf
	bucket     bool   // its value is one
	child      uint64 // of a branch
}

// read returns the page of a number, once.
func (m *image) read(id uint64) (rawPage, error) {
	m.asked = append(m.asked, id)
	data, err := m.load(id)
	if err != nil {
		return rawPage{}, err
	}
	for n := id; n < id+uint64(len(data))/uint64(m.page); n++ { //nolint:gosec // not negative
		if m.has(n) {
			return rawPage{}, fmt.Errorf("page %d: it is used twice", n)
		}
		m.seen[n/64] |= 1 << (n % 64)
		m.used++
	}
	p, err := parsePage(data)
	if err != nil {
		return p, fmt.Errorf("page %d: %w", id, err)
	}
	return p, nil
}

// has reports whether a page was visited.
func (m *image) has(id uint64) bool { return id < m.pages() && m.seen[id/64]&(1<<(id%64)) != 0 }

// load returns the bytes of the page of a number and of those that go with it.
func (m *image) load(id uint64) ([]byte, error) {
	if id < 2 || id >= m.pages() {
		return nil, fmt.Errorf("page %d: the file has %d", id, m.pages())
	}
	head := make([]byte, rawHeader)
	at := int64(id) * m.page //nolint:gosec // less than the file's size
	if _, err := m.r.ReadAt(head, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	order := binary.NativeEndian
	extra := uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != id || extra >= m.pages()-id {
		return nil, fmt.Errorf("page %d: it is another one, or cut off", id)
	}
	data := make([]byte, int64(extra+1)*m.page) //nolint:gosec // within the file's size
	if _, err := m.r.ReadAt(data, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return data, nil
}

// parsePage takes the bytes of a page, or of a bucket's inline page.
func parsePage(data []byte) (rawPage, error) {
	if len(data) < rawHeader {
		return rawPage{}, errShort
	}
	order := binary.NativeEndian
	p := rawPage{count: int(order.Uint16(data[10:])), data: data}
	switch flags := order.Uint16(data[8:]); flags {
	case rawBranch:
	case rawLeaf:
		p.leaf = true
	default:
		return p, fmt.Errorf("it is of no kind that is known (%#x)", flags)
	}
	if rawHeader*(p.count+1) > len(data) {
		return p, errShort
	}
	if !p.leaf && p.count == 0 {
		return p, errors.New("it is a branch without leaves")
	}
	return p, nil
}

// at returns an element; it is a part of the page's bytes.
func (p rawPage) at(i int) (element, error) {
	order := binary.NativeEndian
	off := rawHeader * (i + 1)
	b := p.data[off:]
	part := func(from, size uint32) ([]byte, bool) {
		if end := uint64(from) + uint64(size); end > uint64(len(b)) {
			return nil, false
		}
		return b[from : from+size], true
	}
	if !p.leaf {
		key, ok := part(order.Uint32(b), order.Uint32(b[4:]))
		if !ok {
			return element{}, errShort
		}
		return element{start: off + int(order.Uint32(b)), key: key, child: order.Uint64(b[8:])}, nil
	}
	pos, ksize, vsize := order.Uint32(b[4:]), order.Uint32(b[8:]), order.Uint32(b[12:])
	key, ok := part(pos, ksize)
	if !ok {
		return element{}, errShort
	}
	value, ok := part(pos+ksize, vsize)
	if !ok || pos+ksize < pos {
		return element{}, errShort
	}
	return element{start: off + int(pos), key: key, value: value, bucket: order.Uint32(b)&rawBucket != 0}, nil
}

// walk calls f for each leaf element below a page, in order of key, and passes over what is damaged, with a complaint.
// Elements are valid until f returns. It reports whether all was sound.
func (m *image) walk(id uint64, f func(element)) bool {
	return m.descend(id, nil, nil, 0, f)
}

// descend walks the tree below a page, whose keys must be within [from, to); nil is no bound.
func (m *image) descend(id uint64, from, to []byte, depth int, f func(element)) bool {
	if depth > maxTree {
		m.complain("page %d: the tree is too deep", id)
		return false
	}
	p, err := m.read(id)
	if err != nil {
		m.complain("%v", err)
		return false
	}
	if high := m.metas[0].high; id+uint64(len(p.data))/uint64(m.page) > high { //nolint:gosec // not negative
		m.complain("page %d: only %d should be in use", id, high) // it may hold something good even so
	}
	return m.visit(p, fmt.Sprintf("page %d", id), from, to, depth, f)
}

func (m *image) visit(p rawPage, name string, from, to []byte, depth int, f func(element)) bool {
	sound := true
	elems := make([]element, 0, p.count)
	next := rawHeader * (p.count + 1) // bbolt leaves no gaps
	for i := range p.count {
		e, err := p.at(i)
		if err == nil && e.start != next {
			err = errors.New("it isn't where the one before it ends")
		}
		next = e.start + len(e.key) + len(e.value)
		if err != nil {
			m.complain("%s, element %d: %v", name, i, err)
			sound = false
			continue
		}
		low := from
		if n := len(elems); n > 0 {
			low = elems[n-1].key
		}
		if c := bytes.Compare(e.key, low); c < 0 || c == 0 && len(elems) > 0 || to != nil && bytes.Compare(e.key, to) >= 0 {
			m.complain("%s, element %d: its key is out of order", name, i)
			sound = false
			continue
		}
		elems = append(elems, e)
	}
	for i, e := range elems {
		if p.leaf {
			f(e)
			continue
		}
		high := to
		if i+1 < len(elems) {
			high = elems[i+1].key
		}
		sound = m.descend(e.child, e.key, high, depth+1, f) && sound
	}
	return sound
}

// bucket walks the records of a bucket that an element of the root stands for.
func (m *image) bucket(e element, f func(key, value []byte)) bool {
	if len(e.value) < rawHeader {
		m.complain("bucket %q: %v", e.key, errShort)
		return false
	}
	sound := true
	record := func(e element) {
		if e.bucket {
			m.complain("bucket %q: there is a bucket within", e.key)
			sound = false
			return
		}
		f(e.key, e.value)
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return m.walk(root, record) && sound
	}
	p, err := parsePage(e.value[rawHeader:])
	if err != nil || !p.leaf {
		m.complain("bucket %q: its page is damaged (%v)", e.key, err)
		return false
	}
	return m.visit(p, fmt.Sprintf("bucket %q", e.key), nil, nil, 0, record) && sound
}

// records calls f for each record that the newest tree leads to; done, if it isn't nil, after each bucket.
func (m *image) records(f func(bucket string, key, value []byte), done func(bucket string, sound bool)) {
	m.forget()
	meta := m.metas[0]
	if meta.high > m.pages() {
		m.complain("it ends after %d of its %d pages", m.pages(), meta.high)
	}
	var roots []element
	m.walk(meta.root, func(e element) {
		if !e.bucket {
			m.complain("there is a record outside of all buckets")
			return
		}
		roots = append(roots, element{key: bytes.Clone(e.key), value: bytes.Clone(e.value)})
	})
	for _, e := range roots {
		name := string(e.key)
		sound := m.bucket(e, func(k, v []byte) { f(name, k, v) })
		if done != nil {
			done(name, sound)
		}
	}
}

// strays calls f for each record of a bucket on any leaf page of the file, also one that nothing leads to any more. A
// record's checksum says which bucket it is of. Older versions of a record come up as well.
func (m *image) strays(bucket string, f func(key, payload []byte)) {
	head := make([]byte, rawHeader)
	for id := uint64(2); id < m.pages(); id++ {
		at := int64(id) * m.page
		if _, err := m.r.ReadAt(head, at); err != nil || binary.NativeEndian.Uint64(head) != id {
			continue
		}
		extra := min(uint64(binary.NativeEndian.Uint32(head[12:])), m.pages()-id-1, maxStray)
		data := make([]byte, int64(extra+1)*m.page)
		if _, err := m.r.ReadAt(data, at); err != nil {
			continue
		}
		p, err := parsePage(data)
		if err != nil || !p.leaf {
			continue
		}
		for i := range p.count {
			e, err := p.at(i)
			if err != nil || e.bucket {
				continue
			}
			if payload, err := unseal(bucket, e.key, e.value); err == nil {
				f(e.key, payload)
			}
		}
	}
}
