"""Shared helpers of the bench rig: namespaces, process start/stop, CPU and RSS
accounting, percentiles, and the table of known peers. Standard library only."""
import ctypes, json, os, shutil, signal, subprocess, sys, tempfile, time

RIG = os.path.dirname(os.path.abspath(__file__))
WORK = os.environ.get("RIG_WORK", os.path.join(tempfile.gettempdir(), "rig-work"))
NS_S, NS_C = os.environ.get("RIG_NS_S", "rig-s"), os.environ.get("RIG_NS_C", "rig-c")
SERVER_IP, CLIENT_IP, SERVER_IF, CLIENT_IF = "10.77.0.1", "10.77.0.2", "rigs0", "rigc0"
POOL = ("10.77.8.0", "10.77.255.250")            # 63 483 addresses
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))   # so that "timeout" still ends our servers


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)              # PR_SET_PDEATHSIG


def netns_pids(ns=NS_S):
    return [int(x) for x in subprocess.run(["ip", "netns", "pids", ns], capture_output=True, text=True).stdout.split()]


def netns_up():
    out = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    if NS_S in out.split():
        return False
    subprocess.run([RIG + "/netns", "up"], check=True)
    return True


def netns_down():
    subprocess.run([RIG + "/netns", "down"])


def in_ns(ns, argv):
    return ["ip", "netns", "exec", ns] + argv if ns else argv


def tree(pid):
    """pid and its living descendants."""
    kids, out, todo = {}, [], [pid]
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                f = open(f"/proc/{d}/stat").read()
                kids.setdefault(int(f[f.rindex(")") + 2:].split()[1]), []).append(int(d))
            except OSError:
                pass
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def cpu(pid):
    """CPU seconds of pid, its living descendants and its reaped children."""
    t = 0
    for p in tree(pid):
        try:
            f = open(f"/proc/{p}/stat").read()
            f = f[f.rindex(")") + 2:].split()
            t += sum(int(x) for x in f[11:15])
        except OSError:
            pass
    return t / TICK


def rss_mb(pid):
    t = 0
    for p in tree(pid):
        try:
            t += int(open(f"/proc/{p}/statm").read().split()[1])
        except OSError:
            pass
    return t * PAGE / 1e6


def pct(v, q):
    if not v:
        return None
    v = sorted(v)
    return v[min(len(v) - 1, int(q * len(v)))]


class Proc:
    """One server process (argv) in a namespace; stop() ends only it and its children."""

    def __init__(self, name, argv, ns=NS_S, cwd=None, env=None, ready=None, settle=1.0, pin=None):
        self.name, self.log = name, f"{WORK}/{name}.log"
        os.makedirs(WORK, exist_ok=True)
        end = time.time() + 3
        while netns_pids(ns) and time.time() < end:
            time.sleep(0.05)
        if netns_pids(ns):   # another server there would answer in this one's place
            raise RuntimeError(f"namespace {ns} is in use by pids {netns_pids(ns)}")
        if pin is not None:
            argv = ["taskset", "-c", str(pin)] + argv
        self.p = subprocess.Popen(in_ns(ns, argv), cwd=cwd, stdout=open(self.log, "wb"),
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=die_with_parent)
        self.pid = self.p.pid
        t0 = time.time()
        while ready and not ready() and time.time() - t0 < 60 and self.p.poll() is None:
            time.sleep(0.01)
        self.ready_s = time.time() - t0
        time.sleep(settle)
        if self.p.poll() is not None:
            raise RuntimeError(f"{name} ended at start: " + open(self.log, errors="replace").read()[-800:])

    def stop(self):
        if self.p.poll() is None:
            pids = tree(self.pid)
            self.p.terminate()
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
            for p in pids[1:]:
                try:
                    os.kill(p, signal.SIGTERM)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.stop()


def busy(secs=0.4):
    """CPU used on the whole machine just now, in percent of one CPU (noise before a run)."""
    def read():
        f = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        return sum(f) - f[3] - f[4]
    a = read()
    time.sleep(secs)
    return 100.0 * (read() - a) / TICK / secs


def wait_quiet():
    """Waits, at most RIG_QUIET_MAX s (20), until others use < RIG_QUIET % of a CPU (unset: no wait).
    Returns the noise seen last, to be written beside the result."""
    want, end = float(os.environ.get("RIG_QUIET", 1e9)), time.time() + float(os.environ.get("RIG_QUIET_MAX", 20))
    b = busy()
    while b > want and time.time() < end:
        time.sleep(0.5)
        b = busy()
    return b


def workdir(name, fresh=True):
    d = f"{WORK}/{name}"
    if fresh:
        shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d, exist_ok=True)
    return d


def put(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


# ---------------------------------------------------------------- DHCP peers

def _kea(name, fresh, persist=True, threads=0):
    d = workdir(name, fresh)
    c = {"Dhcp4": {
        "interfaces-config": {"interfaces": [SERVER_IF], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": persist, "name": d + "/leases.csv", "lfc-interval": 0},
        "valid-lifetime": 3600,
        "multi-threading": {"enable-multi-threading": threads > 0, "thread-pool-size": threads, "packet-queue-size": 64},
        "option-data": [{"name": "routers", "data": SERVER_IP}, {"name": "tftp-server-name", "data": SERVER_IP}],
        "subnet4": [{"id": 1, "subnet": "10.77.0.0/16", "pools": [{"pool": "-".join(POOL)}]}],
        "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stdout"}], "severity": "WARN"}]}}
    put(d + "/kea.json", json.dumps(c, indent=1))
    return dict(argv=["kea-dhcp4", "-c", d + "/kea.json"], env={"KEA_PIDFILE_DIR": d, "KEA_LOCKFILE_DIR": d})


def _dnsmasq(name, fresh, leasefile=True, script=False):
    d = workdir(name, fresh)
    a = ["dnsmasq", "-k", "-C", "/dev/null", "--user=root", "--port=0", "--no-ping", "--quiet-dhcp",
         "--log-facility=" + d + "/log", "--pid-file=" + d + "/pid", "--interface=" + SERVER_IF, "--bind-interfaces",
         "--dhcp-authoritative", "--dhcp-lease-max=70000",
         f"--dhcp-range={POOL[0]},{POOL[1]},255.255.0.0,1h", f"--dhcp-option=66,{SERVER_IP}",
         "--dhcp-leasefile=" + d + "/leases"]
    if not leasefile:
        a += ["--leasefile-ro"]
    if script:
        put(d + "/hook", "#!/bin/sh\nexit 0\n", 0o755)
        a += ["--dhcp-script=" + d + "/hook", "--script-on-renewal"]
    return dict(argv=a)


def _isc(name, fresh, extra=""):
    d = workdir(name, fresh)
    put(d + "/dhcpd.conf", f"""authoritative; ddns-update-style none; ping-check false; log-facility local7;
default-lease-time 3600; max-lease-time 3600; {extra}
option tftp-server-name "{SERVER_IP}";
subnet 10.77.0.0 netmask 255.255.0.0 {{ range {POOL[0]} {POOL[1]}; option routers {SERVER_IP}; }}
""")
    if fresh:
        put(d + "/leases", "")
    return dict(argv=["dhcpd", "-f", "-q", "-4", "-user", "root", "-group", "root", "-cf", d + "/dhcpd.conf",
                      "-lf", d + "/leases", "-pf", d + "/pid", SERVER_IF])


def _udhcpd(name, fresh):
    d = workdir(name, fresh)
    put(d + "/conf", f"""start {POOL[0]}
end {POOL[1]}
interface {SERVER_IF}
max_leases 63000
lease_file {d}/leases
pidfile {d}/pid
auto_time 60
option subnet 255.255.0.0
option router {SERVER_IP}
option lease 3600
opt tftp {SERVER_IP}
""")
    if fresh:
        put(d + "/leases", "")
    return dict(argv=["udhcpd", "-f", "-a", "0", d + "/conf"])


def _coredhcp(name, fresh):
    d = workdir(name, fresh)
    put(d + "/config.yml", f"""server4:
  listen: ["%{SERVER_IF}"]
  plugins:
    - lease_time: 3600s
    - server_id: {SERVER_IP}
    - router: {SERVER_IP}
    - netmask: 255.255.0.0
    - range: {d}/leases.sqlite3 {POOL[0]} {POOL[1]} 3600s
""")
    return dict(argv=[os.environ.get("COREDHCP", "coredhcp"), "-c", d + "/config.yml", "-L", "error"])


DHCP_PEERS = {
    "kea": lambda n, f: _kea(n, f),
    "kea-mt": lambda n, f: _kea(n, f, threads=2),
    "kea-nopersist": lambda n, f: _kea(n, f, persist=False),
    "dnsmasq": lambda n, f: _dnsmasq(n, f),
    "dnsmasq-script": lambda n, f: _dnsmasq(n, f, script=True),
    "dnsmasq-nofile": lambda n, f: _dnsmasq(n, f, leasefile=False),
    "isc": lambda n, f: _isc(n, f),
    "isc-delayed-ack": lambda n, f: _isc(n, f, "delayed-ack 28; max-ack-delay 50000;"),
    "udhcpd": _udhcpd,
    "coredhcp": _coredhcp,
}


def preload(name, n):
    """Writes a lease store of n active leases for a stopped, known peer (its own format). False: unknown peer."""
    kind, d, now = name.split("-")[0], f"{WORK}/{name}", int(time.time())
    a = int.from_bytes(bytes(int(x) for x in POOL[0].split(".")), "big") + 256
    rows = []
    for i in range(n):
        v = a + i
        rows.append((":".join(f"{x:02x}" for x in (0x0c0100000000 + i).to_bytes(6, "big")), ".".join(str(v >> s & 255) for s in (24, 16, 8, 0))))
    end = now + 36000
    if kind == "kea":
        put(d + "/leases.csv", "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
            + "".join(f"{ip},{m},01:{m},36000,{end},1,0,0,,0,\n" for m, ip in rows))
    elif kind == "isc":
        t = lambda x: time.strftime("%w %Y/%m/%d %H:%M:%S", time.gmtime(x))
        uid = lambda m: "".join("\\%03o" % int(x, 16) for x in ["01"] + m.split(":"))
        put(d + "/leases", "authoring-byte-order little-endian;\n" + "".join(
            f'lease {ip} {{\n  starts {t(now)};\n  ends {t(end)};\n  cltt {t(now)};\n  binding state active;\n  next binding state free;\n'
            f'  rewind binding state free;\n  hardware ethernet {m};\n  uid "{uid(m)}";\n}}\n' for m, ip in rows))
    elif kind == "dnsmasq":
        put(d + "/leases", "".join(f"{end} {m} {ip} * 01:{m}\n" for m, ip in rows))
    elif kind == "coredhcp":
        import sqlite3
        if os.path.exists(d + "/leases.sqlite3"):
            os.remove(d + "/leases.sqlite3")
        c = sqlite3.connect(d + "/leases.sqlite3")
        c.execute("create table if not exists leases4 (mac string not null, ip string not null, expiry int, hostname string not null, primary key (mac, ip))")
        c.executemany("insert or replace into leases4 values (?, ?, ?, '')", [(m, ip, end) for m, ip in rows])
        c.commit()
        c.close()
    else:
        return False
    return True


def start_dhcp(name, cmd=None, fresh=True, pin=None, ready=None, settle=1.0):
    """name: a key of DHCP_PEERS; or any label with cmd, a shell line (run in the server namespace)."""
    if cmd:
        return Proc(name, ["/bin/sh", "-c", "exec " + cmd], pin=pin, ready=ready, settle=settle)
    s = DHCP_PEERS[name](name, fresh)
    return Proc(name, s["argv"], env=s.get("env"), pin=pin, ready=ready, settle=settle)

# ---------------------------------------------------------------- TFTP and HTTP peers
# Each entry gives argv for a folder of files; all listen on 10.77.0.1.

ATFTPD = os.environ.get("ATFTPD", "atftpd")


def tool(name):
    """A Go program of this rig, built on first use into WORK/bin."""
    b = f"{WORK}/bin/{name}"
    src = f"{RIG}/{name}"
    new = max(os.path.getmtime(f"{src}/{f}") for f in os.listdir(src))
    if not os.path.exists(b) or os.path.getmtime(b) < new:
        os.makedirs(WORK + "/bin", exist_ok=True)
        subprocess.run(["go", "build", "-o", b, "."], cwd=src, check=True)
    return b


TFTP_PEERS = {
    "hpa": lambda root: ["in.tftpd", "-L", "-4", "-u", "root", "-a", SERVER_IP + ":69", "-s", root],
    "atftpd": lambda root: [ATFTPD, "--daemon", "--no-fork", "--port", "69", "--bind-address", SERVER_IP, "--maxthread", "600",
                            "--user", "root.root", "--no-multicast", "--verbose=0", root],
    "dnsmasq": lambda root: ["dnsmasq", "-k", "-C", "/dev/null", "--user=root", "--port=0", "--interface=" + SERVER_IF, "--bind-interfaces",
                             "--enable-tftp", "--tftp-root=" + root, "--tftp-max=1000", "--quiet-tftp", "--log-facility=/dev/null", "--pid-file="],
    "dnsmasq-max50": lambda root: [a for a in TFTP_PEERS["dnsmasq"](root) if not a.startswith("--tftp-max")],
}


def nginx_conf(root):
    d = workdir("nginx")
    os.makedirs(root + "/f", exist_ok=True)
    open(root + "/static4k", "wb").write(b"0123456789abcdef" * 256)
    put(d + "/nginx.conf", f"""daemon off; master_process on; worker_processes 2; pid {d}/pid; error_log {d}/err; user root;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; keepalive_requests 100000; open_file_cache max=1000;
 client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c; uwsgi_temp_path {d}/d; scgi_temp_path {d}/e;
 server {{ listen {SERVER_IP}:8080 backlog=4096; root {root}; }} }}
""")
    return ["nginx", "-e", d + "/err", "-c", d + "/nginx.conf"]


HTTP_PEERS = {
    "nginx": nginx_conf,
}


def start_files(table, target, root, settle=float(os.environ.get("RIG_SETTLE", 0.5))):
    """target: a key of table, or LABEL=CMD ({root} is the folder of files)."""
    name, _, cmd = target.partition("=")
    argv = ["/bin/sh", "-c", "exec " + cmd.replace("{root}", root)] if cmd else table[name](root)
    return Proc(name, argv, settle=settle)
