"""What a Python interpreter needs to see of this machine's disk in order to start: its installation, and no
more.

A virtual environment names its base by an absolute path, often through several links (uv, pyenv, Debian),
so the environment, the base and every link on the way are bound at their own paths. A folder that would
show more than an installation (the home folder, ``/``) is never bound whole.
"""

from __future__ import annotations

import site
import sys
from dataclasses import dataclass
from pathlib import Path

import remote
from remote.sandbox.isolation import CODE, Bind


@dataclass(frozen=True, slots=True)
class Interpreter:
    python: Path

    @property
    def prefix(self) -> Path:
        """The virtual environment or installation: ``<prefix>/bin/python``."""
        return self.python.absolute().parent.parent

    def binds(self, home: Path) -> tuple[Bind, ...]:
        """Read-only binds for this interpreter and the package ``remote``; ``home`` is never bound whole."""
        folders: dict[Path, None] = {}
        for hop in _hops(self.python.absolute()):
            prefix = hop.parent.parent
            whole = prefix if _is_installation(prefix, home) else hop
            folders.setdefault(whole)
        folders.setdefault(self._base())
        site_dir = self.user_site()
        if site_dir is not None:
            folders.setdefault(site_dir)
        kept = [f for f in folders if not _in_usr(f) and _is_installation(f, home)]
        # A folder inside another one that is bound needs no bind of its own.
        top = [f for f in kept if not any(f != other and f.is_relative_to(other) for other in kept)]
        package = Path(remote.__file__).resolve().parent
        own = [Bind(str(path.resolve()), str(path)) for path in top]
        return (*own, Bind(str(package), str(CODE / "remote")))

    def user_site(self) -> Path | None:
        """``~/.local/lib/…/site-packages`` where the running interpreter is a system one that uses it."""
        is_running = self.python.absolute() == Path(sys.executable).absolute()
        if not is_running or sys.prefix != sys.base_prefix or not site.ENABLE_USER_SITE:
            return None
        folder = Path(site.getusersitepackages())
        return folder if folder.is_dir() else None

    def _base(self) -> Path:
        """``sys.base_prefix`` of this interpreter, from ``pyvenv.cfg`` where it is not the running one."""
        if self.python.absolute() == Path(sys.executable).absolute():
            return Path(sys.base_prefix)
        try:
            text = (self.prefix / "pyvenv.cfg").read_text("utf-8")
        except OSError:
            return self.prefix
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "home":
                return Path(value.strip()).parent
        return self.prefix


def package_root() -> Path:
    """The folder that holds the package ``remote``."""
    return Path(remote.__file__).resolve().parent.parent


def _hops(path: Path) -> list[Path]:
    """``path``, then what it links to, and so on to the real file (at most 20 links)."""
    hops = [path]
    while path.is_symlink() and len(hops) < 20:
        link = path.readlink()
        path = link if link.is_absolute() else path.parent / link
        hops.append(Path(path))
    hops.append(path.resolve())
    return hops


def _in_usr(path: Path) -> bool:
    return (path.parent.resolve() / path.name).is_relative_to("/usr")


def _is_installation(folder: Path, home: Path) -> bool:
    real, own = folder.resolve(), home.resolve()
    return real != Path("/") and not own.is_relative_to(real) and not Path.home().is_relative_to(real)
