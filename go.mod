module github.com/dialtone-project/dialtone

go 1.26.0

require (
	filippo.io/age v1.3.2 // encrypted backups
	github.com/fsnotify/fsnotify v1.10.1 // the plugin folder is watched
	github.com/google/go-cmp v0.7.0 // differences in tests
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae // DHCPv4 messages
	github.com/jsimonetti/rtnetlink/v2 v2.0.2 // the kernel's neighbour table
	github.com/labstack/echo/v4 v4.16.0 // console and API
	github.com/mdlayher/netlink v1.7.2 // its subscription
	github.com/mdlayher/packet v1.2.0 // raw frames to clients without an address, ARP probes
	github.com/oapi-codegen/runtime v1.8.0 // of the generated API
	github.com/pin/tftp/v3 v3.2.0 // TFTP transfers; the version is pinned by hand
	github.com/prometheus/client_golang v1.25.0 // promlint: the metrics' names in tests
	github.com/rogpeppe/go-internal v1.16.0 // testscript: the command line in tests
	github.com/spf13/cobra v1.10.2 // verbs, flags, manual pages
	go.etcd.io/bbolt v1.5.0 // the store
	go.yaml.in/yaml/v4 v4.0.0 // settings, site, manifests
	golang.org/x/crypto v0.58.0 // argon2id: passwords of administrators
	golang.org/x/net v0.62.0 // interface and destination of datagrams
	golang.org/x/sync v0.24.0 // errgroup
	golang.org/x/sys v0.49.0 // socket options
	golang.org/x/tools v0.52.0 // txtar: golden requests
	pgregory.net/rapid v1.3.0 // properties in tests
)

require (
	filippo.io/hpke v0.4.0 // indirect
	github.com/apapsch/go-jsonmerge/v2 v2.0.0 // indirect
	github.com/cpuguy83/go-md2man/v2 v2.0.6 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/labstack/gommon v0.5.0 // indirect
	github.com/mattn/go-colorable v0.1.15 // indirect
	github.com/mattn/go-isatty v0.0.22 // indirect
	github.com/mdlayher/socket v0.7.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pierrec/lz4/v4 v4.1.14 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/spf13/pflag v1.0.10 // indirect
	github.com/u-root/uio v0.0.0-20230220225925-ffce2a382923 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	github.com/valyala/fasttemplate v1.2.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
