"""The table of what a hostile script tries to reach from inside, and the script that tries it all.

Each attack is a few lines that leave in ``got`` what they got hold of, or raise. All run in one sandbox, each in a
process of its own, so that one that is killed does not save us from the next. ``outside``: the same lines do get
hold of it in a plain process, which a control test shows, so an attack that only fails because it is badly written
is noticed; the others need root, a terminal or a kernel's setting.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    name: str
    code: str
    outside: bool = False


RUNNER = r"""
import ctypes, errno, platform, signal, socket, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {  # x86_64, aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "add_key": (248, 217), "keyctl": (250, 219),
    "unshare": (272, 97), "setns": (308, 268), "clone": (56, 220), "clone3": (435, 435), "mount": (165, 40),
    "umount2": (166, 39), "fsopen": (430, 430), "open_tree": (428, 428), "pivot_root": (155, 41), "chroot": (161, 51),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "finit_module": (313, 273), "kexec_load": (246, 104), "swapon": (167, 224), "acct": (163, 89),
    "syslog": (103, 116), "personality": (135, 92), "name_to_handle_at": (303, 264),
    "memfd_create": (319, 279), "shmget": (29, 194), "settimeofday": (164, 170), "sethostname": (170, 161),
    "openat2": (437, 437), "getpid": (39, 172), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "fanotify_init": (300, 262), "quotactl": (179, 60),
}

def call(name, *arguments):
    number = NUMBERS[name][platform.machine() == "aarch64"] if isinstance(name, str) else name
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if answer == -1:
        raise OSError(ctypes.get_errno(), errno.errorcode.get(ctypes.get_errno(), "?"))
    return answer

def attempt(code):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        scope = {**globals(), "got": None}
        try:
            exec(code, scope)
            said = {"got": scope["got"]}
        except BaseException as error:
            said = {"got": None, "error": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(said, default=repr).encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(said) if said else {"got": None, "error": f"ended with {status}"}

outcomes = {name: attempt(code) for name, code in config["attacks"].items()}
"""

ATTACKS = (
    # ------------------------------------------------------------------ secrets on disk and in memory
    Attack("read a file of the home folder", "got = open(config['secret']).read()", outside=True),
    Attack(
        "read it through the root of another process", "got = open('/proc/1/root' + config['secret']).read()"
    ),
    Attack(
        "read it through the parent's root",
        "got = open(f'/proc/{os.getppid()}/root' + config['secret']).read()",
        outside=True,
    ),
    Attack(
        "climb out of the current folder",
        "got = open('../' * 40 + config['secret'].lstrip('/')).read()",
        outside=True,
    ),
    Attack(
        "climb out through a descriptor of a folder",
        """
fd = os.open("out", os.O_RDONLY)
for _ in range(40):
    fd = os.open("..", os.O_RDONLY, dir_fd=fd)
got = os.read(os.open(config["secret"].lstrip("/"), os.O_RDONLY, dir_fd=fd), 100)
""",
        outside=True,
    ),
    Attack(
        "read it through a link in out/",
        """
os.symlink(config["secret"], "out/link")
try:
    got = open("out/link").read()
finally:
    os.unlink("out/link")
""",
        outside=True,
    ),
    Attack(
        "take it over by a hard link", "os.link(config['secret'], 'out/hard'); got = open('out/hard').read()"
    ),
    Attack("list other jobs", "got = [n for n in os.listdir(config['jobs']) if n != 'job']", outside=True),
    Attack(
        "find a token in the environment of any process",
        """
import glob
for path in glob.glob("/proc/*/environ"):
    try:
        if config["token"] in open(path, errors="replace").read():
            got = path
    except OSError:
        pass
""",
        outside=True,
    ),
    Attack(
        "read accounts",
        "got = [n for n in ('passwd', 'shadow', 'group') if os.path.exists(f'/etc/{n}')] or None",
        outside=True,
    ),
    Attack(
        "inherit descriptors",
        """
listed = subprocess.run([sys.executable, "-I", "-S", "-c", "import os; print(os.listdir('/proc/self/fd'))"],
                        capture_output=True, text=True, close_fds=False).stdout
got = [fd for fd in eval(listed) if int(fd) > 3] or None
""",
    ),
    # ------------------------------------------------------------------ other processes
    Attack(
        "see the bot's process",
        """
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            if config["mark"] in open(f"/proc/{name}/cmdline", errors="replace").read():
                got = name
        except OSError:
            pass
""",
        outside=True,
    ),
    Attack("signal the bot", "os.kill(config['bot_pid'], 0); got = 'it is there'", outside=True),
    Attack(
        "trace a child",
        """
child = os.fork()
if child == 0:
    time.sleep(30)
try:
    call("ptrace", 16, child, 0, 0)
    got = "attached"
finally:
    os.kill(child, 9)
""",
        outside=True,
    ),
    Attack(
        "read the parent's memory by a call",
        """
buffer = ctypes.create_string_buffer(8)
local = struct.pack("PN", ctypes.addressof(buffer), 8)
place = struct.pack("PN", id(None), 8)
call("process_vm_readv", os.getppid(), local, 1, place, 1, 0)
got = "read"
""",
        outside=True,
    ),
    Attack(
        "take a descriptor of another process",
        """
handle = call("pidfd_open", os.getppid(), 0)
got = call("pidfd_getfd", handle, 0, 0)
""",
        outside=True,
    ),
    Attack("write into the first process", "got = open('/proc/1/mem', 'r+b')"),
    Attack("overwrite the program that started it", "got = open('/proc/1/exe', 'r+b')"),
    Attack(
        "protect itself from the killer of the kernel",
        """
try:
    os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")
finally:
    score = int(open("/proc/self/oom_score_adj").read())
    got = score if score < 500 else None
""",
    ),
    # ------------------------------------------------------------------ keys
    Attack(
        "store a key",
        """
got = call("add_key", b"user", b"intern", b"x", 1, -2)  # the process keyring
""",
        outside=True,
    ),
    Attack("join a keyring", "got = call('keyctl', 0, -3, 1)", outside=True),
    Attack("list keys", "got = open('/proc/keys').read() or None"),
    # ------------------------------------------------------------------ network
    Attack(
        "reach a server of this machine",
        """
got = socket.create_connection(("127.0.0.1", config["port"]), 3)
""",
        outside=True,
    ),
    Attack(
        "reach another machine",
        """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
got = s.sendto(b"x", ("192.0.2.1", 53))
""",
    ),
    Attack(
        "reach a socket in a folder, such as Docker's",
        """
s = socket.socket(socket.AF_UNIX); s.connect(config["unix"]); got = 1
""",
        outside=True,
    ),
    Attack(
        "reach an abstract socket",
        """
s = socket.socket(socket.AF_UNIX); s.connect("\\0" + config["abstract"]); got = 1
""",
        outside=True,
    ),
    Attack("reach the hypervisor", "got = socket.socket(40, socket.SOCK_STREAM)"),  # AF_VSOCK
    Attack("see raw packets", "got = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)"),
    Attack("reach the kernel's ciphers", "got = socket.socket(38, socket.SOCK_SEQPACKET)"),  # AF_ALG
    Attack("reach the kernel's audit", "got = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)"),
    # ------------------------------------------------------------------ name spaces and mounts
    Attack("make a user name space", "call('unshare', 0x10000000); got = 1"),
    Attack(
        "make one by clone",
        """
child = call("clone", 0x10000000 | 17, 0, 0, 0, 0)
if child == 0:
    os._exit(0)
got = child
""",
    ),
    Attack(
        "make one by clone3",
        """
arguments = struct.pack("8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
child = call("clone3", arguments, 64)
if child == 0:
    os._exit(0)
got = child
""",
    ),
    Attack("enter another name space", "call('setns', os.open('/proc/1/ns/mnt', os.O_RDONLY), 0); got = 1"),
    Attack("mount", "call('mount', b'none', b'/tmp', b'tmpfs', 0, 0); got = 1"),
    Attack("mount by the new calls", "got = call('fsopen', b'tmpfs', 0)"),
    Attack("clone a mount", "got = call('open_tree', -100, b'/usr', 1)"),
    Attack("make /usr writable again", "call('mount', 0, b'/usr', 0, 32 | 4096, 0); got = 1"),
    Attack("take a mount away", "call('umount2', b'/proc', 2); got = 1"),
    Attack("change the root", "call('chroot', b'/tmp'); got = 1"),
    Attack("pivot the root", "call('pivot_root', b'/tmp', b'/tmp'); got = 1"),
    Attack(
        "open a file by its handle",
        """
buffer = ctypes.create_string_buffer(struct.pack("II", 128, 0) + bytes(128))
call("name_to_handle_at", -100, b"/usr", buffer, ctypes.byref(ctypes.c_int()), 0); got = 1
""",
    ),
    # ------------------------------------------------------------------ rights
    Attack("become root", "os.setuid(0); got = os.getuid()"),
    Attack("become another group", "os.setgid(0); got = os.getgid()"),
    Attack(
        "make a file with setuid",
        "open('out/s', 'w').close(); os.chmod('out/s', 0o4755); got = 1",
        outside=True,
    ),
    Attack(
        "create a file with setuid",
        "os.close(os.open('out/t', os.O_CREAT | os.O_WRONLY, 0o6755)); got = 1",
        outside=True,
    ),
    Attack(
        "gain by a setuid program",
        """
import glob
for path in glob.glob("/usr/bin/*"):
    if os.stat(path).st_mode & 0o4000 and os.path.basename(path) == "su":
        done = subprocess.run([path, "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        got = done.stdout.strip() or None
""",
    ),
    Attack(
        "raise a limit",
        """
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)); got = 1
""",
    ),
    Attack("take all processor time", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); got = 1"),
    # ------------------------------------------------------------------ devices and the kernel
    Attack(
        "make a device",
        "os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0)); got = open('/tmp/disk', 'rb').read(1)",
    ),
    Attack(
        "find a device",
        """
allowed = {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"}
allowed |= {"tty", "ptmx", "pts", "mqueue", "core"} if config["walls"] == "docker" else set()
got = sorted(set(os.listdir("/dev")) - allowed) or None
""",
        outside=True,
    ),
    Attack(
        "type into a terminal",
        """
import fcntl
fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x"); got = 1
""",
    ),
    Attack("change how the machine handles crashes", "got = open('/proc/sys/kernel/core_pattern', 'w')"),
    Attack("press the magic key", "got = open('/proc/sysrq-trigger', 'w')"),
    Attack(
        "write to a cgroup",
        """
for root, folders, files in os.walk("/sys/fs/cgroup"):
    for name in files:
        if name in ("release_agent", "cgroup.procs", "memory.max"):
            try:
                got = open(os.path.join(root, name), "w").name
            except OSError:
                pass
""",
    ),
    Attack("read the kernel's memory", "got = open('/proc/kcore', 'rb').read(1) or None"),
    Attack("read the kernel's log", "got = call('syslog', 3, ctypes.create_string_buffer(10), 10)"),
    Attack("load a program into the kernel", "got = call('bpf', 0, bytes(128), 128)"),
    Attack("load a module", "call('finit_module', 0, b'', 0); got = 1"),
    Attack("count the machine's events", "got = call('perf_event_open', bytes(112), 0, -1, -1, 0)"),
    Attack("handle page faults", "got = call('userfaultfd', 1)"),
    Attack("set up an io_uring", "got = call('io_uring_setup', 4, ctypes.create_string_buffer(120))"),
    Attack("watch every file", "got = call('fanotify_init', 0, 0)"),
    Attack("start another kernel", "call('kexec_load', 0, 0, 0, 0); got = 1"),
    Attack("swap to a file", "call('swapon', b'out/swap', 0); got = 1"),
    Attack("write an account of processes", "call('acct', b'out/acct'); got = 1"),
    Attack("switch off address randomisation", "call('personality', 0x0040000); got = 1", outside=True),
    Attack("set the clock", "call('settimeofday', struct.pack('qq', 0, 0), 0); got = 1"),
    Attack("rename the machine", "call('sethostname', b'evil', 4); got = 1"),
    Attack("use the calls of another architecture", "got = call(0x40000000 | 39)"),  # x32
    Attack(
        "use calls that the filter cannot read",
        """
got = call("openat2", -100, b"/usr", struct.pack("3Q", 0, 0, 0), 24)
""",
        outside=True,
    ),
    Attack(
        "use 32-bit calls",
        """
import mmap
if platform.machine() != "x86_64":
    raise OSError("there are none on this processor")
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20 (getpid); int 0x80; ret
got = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
""",
    ),
    # ------------------------------------------------------------------ memory that nobody counts
    Attack("keep memory in a nameless file", "got = call('memfd_create', b'x', 0)", outside=True),
    Attack(
        "keep memory in a shared segment",
        "got = call('shmget', 0, 4096, 0o1600); libc.shmctl(got, 0, None)",
        outside=True,
    ),
    # ------------------------------------------------------------------ staying
    Attack(
        "change the interpreter",
        """
for folder in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "/usr/bin", "/opt/intern/remote", "/etc"):
    try:
        with open(os.path.join(folder, "intern-test-intruder"), "w"):
            got = folder
    except OSError:
        pass
""",
    ),
    Attack(
        "change its own script and chain",
        """
for path in ("in/program.py", "job.json"):
    try:
        got = open(path, "r+b").name
    except OSError:
        pass
""",
    ),
    Attack(
        "write the job's own record",
        """
for name in ("exit.json", "events.jsonl", "spec.json", "cancel.json", "alive.lock"):
    for folder in (config["jobs"] + "/job", "out/.."):
        if os.path.exists(os.path.join(config["jobs"], "job")):
            open(os.path.join(folder, name), "a").close()
            got = name
""",
    ),
)
